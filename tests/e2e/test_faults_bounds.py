"""What clients and operators are told when a mailbox is full, and when Redis is less durable than a 202 promises."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import pytest
import pytest_asyncio
import redis

from runtime.mailboxes.redis_keys import stream_key
from tests.e2e.faults import workers_stopped
from tests.e2e.faults_client import FaultsClient, Reply
from tests.e2e.ledger import Ledger, stock_up, verified
from tests.system import System, eventually, eventually_seen

pytestmark = pytest.mark.campaign

SKU: Final = "KETTLE"
ROOM: Final = 50
TOO_MANY: Final = 80
DRAINS_SECONDS: Final = 10.0
STARTS_SECONDS: Final = 15.0
_NOT_DURABLE: Final = b"Redis is not set to `appendonly yes` and `appendfsync always`"


@pytest_asyncio.fixture(scope="module")
async def small() -> AsyncIterator[System]:
    """A system with a single, small mailbox."""
    settings = {"TIDEGATE_MAILBOX_COUNT": "1", "TIDEGATE_MAILBOX_MAX_COMMANDS": str(ROOM)}
    with System(settings) as running:
        await stock_up(running, [SKU])
        yield running


async def test_full_mailbox(small: System) -> None:
    _wait_until_empty(small)
    async with FaultsClient(small) as client:
        async with workers_stopped(small):
            replies = await asyncio.gather(*(client.place({SKU: 1}, key=f"first-{n}") for n in range(TOO_MANY)))
            accepted = [reply for reply in replies if reply.status == 202]
            refused = [reply for reply in replies if reply.status != 202]
            assert len(accepted) == ROOM
            assert all(reply.says_come_back("mailbox_full") for reply in refused)
            assert (await client.place({SKU: 1}, wait=5)).says_come_back("mailbox_full")
            # A repetition of an accepted request is answered as before: it takes no room.
            number = replies.index(accepted[0])
            again = await client.place({SKU: 1}, key=f"first-{number}")
            assert (again.status, again.body) == (202, accepted[0].body)
        async with Ledger(small) as ledger:
            await eventually_seen(
                "the mailbox drained",
                lambda: ledger.finished(reply.body["command_id"] for reply in accepted),
                within_seconds=DRAINS_SECONDS,
            )
        _wait_until_empty(small)
        # The refused request was indeed not accepted, and is now.
        numbers = [number for number, reply in enumerate(replies) if reply.status != 202]
        for number in numbers:
            placed = await client.place({SKU: 1}, key=f"first-{number}", wait=10)
            assert placed.status == 201
            assert "Idempotency-Replayed" not in placed.headers
        async with Ledger(small) as ledger:
            assert await ledger.connection.fetchval("SELECT count(*) FROM orders") == TOO_MANY
    await verified(small)


def _wait_until_empty(system: System) -> None:
    """Waits until applied commands have been removed from the mailbox, which happens a little later."""
    with redis.Redis.from_url(system.valkey.url) as valkey:
        eventually("an empty mailbox", lambda: valkey.xlen(stream_key(0)) == 0, within_seconds=DRAINS_SECONDS)


async def test_a_redis_that_is_less_durable_than_promised(small: System) -> None:
    log = small.log("gateway")
    async with FaultsClient(small) as client:
        assert await client.metric("tidegate_accept_durable") == 1
        for weaker in ({"appendfsync": "everysec"}, {"appendonly": "no"}):
            logged = log.stat().st_size
            with _configured(small, weaker):
                await _restart_gateway(small, client)
            assert await client.metric("tidegate_accept_durable") == 0, weaker
            assert _NOT_DURABLE in log.read_bytes()[logged:], weaker
        logged = log.stat().st_size
        await _restart_gateway(small, client)
        assert await client.metric("tidegate_accept_durable") == 1
        assert _NOT_DURABLE not in log.read_bytes()[logged:]
    await verified(small)


async def test_redis_without_memory(small: System) -> None:
    async with FaultsClient(small) as client:
        async with workers_stopped(small):
            accepted = [await client.place({SKU: 1}, key=f"before-{n}") for n in range(ROOM // 2)]
            assert {reply.status for reply in accepted} == {202}
            with _configured(small, {"maxmemory": "1"}):
                refused = await client.place({SKU: 1}, key="meanwhile")
                # The gateway may have looked at Redis's memory by then: either code is right.
                assert any(refused.says_come_back(code) for code in ("mailboxes_unavailable", "overloaded"))
                assert (await client.get(f"/orders/{accepted[0].body['id']}")).code == "order_not_found", "views answer"
        async with Ledger(small) as ledger:
            await eventually_seen(
                "the accepted orders applied",
                lambda: ledger.finished(reply.body["command_id"] for reply in accepted),
                within_seconds=DRAINS_SECONDS,
            )
        placed = await _accepted_again(client)
        assert "Idempotency-Replayed" not in placed.headers, "it was not accepted before"
    await verified(small)


async def _accepted_again(client: FaultsClient) -> Reply:
    """The order that was refused, once the gateway has seen that Redis has memory again."""

    async def placed() -> Reply | None:
        reply = await client.place({SKU: 1}, key="meanwhile", wait=10)
        return None if reply.says_come_back("overloaded") else reply

    reply = await eventually_seen("orders accepted again", placed, within_seconds=DRAINS_SECONDS)
    assert reply is not None
    assert reply.status == 201
    return reply


async def test_workers_keep_working_while_redis_has_no_memory(small: System) -> None:
    async with FaultsClient(small) as client, Ledger(small) as ledger:
        with ExitStack() as without_memory:
            async with workers_stopped(small):
                accepted = [await client.place({SKU: 1}, key=f"drained-{n}") for n in range(ROOM // 2)]
                without_memory.enter_context(_configured(small, {"maxmemory": "1"}))
            await eventually_seen(
                "the accepted orders applied",
                lambda: ledger.finished(reply.body["command_id"] for reply in accepted),
                within_seconds=DRAINS_SECONDS,
            )
            _wait_until_empty(small)
    await verified(small)


@contextmanager
def _configured(system: System, weaker: dict[str, str]) -> Iterator[None]:
    """Changes Valkey's settings while the block runs."""
    with redis.Redis.from_url(system.valkey.url) as client:
        before = {name: client.config_get(name)[name] for name in weaker}
        try:
            for name, value in weaker.items():
                client.config_set(name, value)
            yield
        finally:
            for name, value in before.items():
                client.config_set(name, value)


async def _restart_gateway(system: System, client: FaultsClient) -> None:
    system.stop_process("gateway")
    system.start_process("gateway")

    async def is_ready() -> bool:
        return (await client.health()).body.get("status") == "ready"

    await eventually_seen("the gateway ready again", is_ready, within_seconds=STARTS_SECONDS)
