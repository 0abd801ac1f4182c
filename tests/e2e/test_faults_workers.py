"""Workers killed, stopped, never woken and racing: nothing is lost, repeated or out of order, and work soon
continues."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio
import redis

from runtime.activation import ActivationBroker, activate
from runtime.mailboxes.redis_keys import awake_key
from runtime.settings import Settings
from tests import pace
from tests.e2e.faults import commits_held_back, kill, ports, stop_in_batch, stopped_meanwhile
from tests.e2e.faults_client import FaultsClient
from tests.e2e.ledger import Ledger, prove, stock_up, verified
from tests.e2e.load import Load
from tests.system import System, eventually, eventually_seen

pytestmark = pytest.mark.campaign

SKUS: Final = ("KETTLE", "TEAPOT", "TRAY", "SPOON")
KILLS: Final = 20
GOES_ON_SECONDS: Final = 5.0
LISTENS_SECONDS: Final = 15.0
MAILBOXES: Final = range(Settings.model_fields["mailbox_count"].default)
BATCH_MAX_SECONDS: Final = Settings.model_fields["batch_max_seconds"].default

_log = logging.getLogger(__name__)


@pytest_asyncio.fixture(scope="module")
async def busy() -> AsyncIterator[System]:
    """A well-stocked system with two workers. No fault may cause a traceback."""
    with System({"TIDEGATE_ORDER_WAIT_MAX_SECONDS": "0"}) as running:  # a stop of all workers is a long wait, too
        await stock_up(running, SKUS)
        yield running
        assert not running.tracebacks()


async def test_workers_killed_in_the_middle_of_batches(busy: System) -> None:
    pauses = []
    async with Ledger(busy) as ledger, Load(busy, SKUS) as load:
        for _ in range(KILLS):
            pid = await stop_in_batch(busy, ledger)
            pauses.append(await _until_applied_after_a_kill(ledger, pid))
        # The last time there is no other worker left, nor one starting, that could continue.
        await eventually_seen("both workers", lambda: _both_listen(busy), within_seconds=LISTENS_SECONDS)
        await stop_in_batch(busy, ledger)
        pauses.append(await _until_applied_after_a_kill(ledger, *busy.worker_pids()))
        slowest_mailbox = pauses[-1] + await _until_all_mailboxes_go_on(ledger)
    _log.info("seconds from each kill to the next commit: %s", ", ".join(f"{pause:.2f}" for pause in pauses))
    _log.info("seconds from the last kill, of all workers, until every mailbox moved on: %.2f", slowest_mailbox)
    assert load.refusals() == set()
    await prove(busy, load)


async def test_worker_killed_between_commit_and_answer(busy: System) -> None:
    async with Ledger(busy) as ledger, FaultsClient(busy) as client:
        order = await client.place({SKUS[0]: 1}, wait=10)
        async with commits_held_back(ledger) as held_back:
            cancelling = asyncio.create_task(client.post(f"/orders/{order.body['id']}/cancel", None, wait=10))
            await eventually_seen("a commit on its way", held_back, within_seconds=GOES_ON_SECONDS)
            await kill(*busy.worker_pids())
        committed = time.monotonic()
        cancelled = await cancelling
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    # Nothing notified the gateway; it checked by itself, long before the client would have given up.
    assert pace.is_within(cancelled.at - committed, GOES_ON_SECONDS)
    await verified(busy)


async def test_worker_stopped_through_a_whole_batch(busy: System) -> None:
    log = busy.log("postgres")
    logged = log.stat().st_size
    async with Ledger(busy) as ledger, Load(busy, SKUS) as load:
        stopped = await stop_in_batch(busy, ledger)
        try:
            accepted = load.accepted_ids()
            await eventually_seen(
                "the other worker applying what the stopped one held, and everything else",
                lambda: ledger.finished(accepted),
                within_seconds=BATCH_MAX_SECONDS + GOES_ON_SECONDS,
            )

            async def ended() -> bool:
                return b"terminating connection due to" in log.read_bytes()[logged:]

            # It may have held nothing that the other one needed.
            await eventually_seen(
                "the end of its transaction", ended, within_seconds=BATCH_MAX_SECONDS + GOES_ON_SECONDS
            )
        finally:
            busy.resume(stopped)
        # The continued worker finds its transaction gone and is useful again: without the other it applies everything.
        async with stopped_meanwhile([pid for pid in busy.worker_pids() if pid != stopped]):
            await load.accepts(10)
            accepted = load.accepted_ids()
            await eventually_seen(
                "the continued worker applying everything by itself",
                lambda: ledger.finished(accepted),
                within_seconds=BATCH_MAX_SECONDS + GOES_ON_SECONDS,
            )
    assert load.refusals() == set()
    await prove(busy, load)


async def test_many_activations_of_one_mailbox_at_once(busy: System) -> None:
    broker = ActivationBroker(busy.valkey.url)
    try:
        async with Load(busy, SKUS) as load:
            for _ in range(20):
                await asyncio.gather(*(activate(broker, mailbox) for mailbox in MAILBOXES))
                await load.accepts(10)
    finally:
        await broker.shutdown()
    await prove(busy, load)


async def test_lost_activations_are_swept(busy: System) -> None:
    busy.stop_process("scheduler")
    busy.stop_process("worker")
    async with Load(busy, SKUS) as load:
        await load.accepts(50)
    with redis.Redis.from_url(busy.valkey.url) as client:
        assert client.delete("activations") == 1
        busy.start_process("worker")
        await eventually_seen("both workers", lambda: _both_listen(busy), within_seconds=LISTENS_SECONDS)
        eventually(
            "no mailbox marked awake",
            lambda: not client.exists(*map(awake_key, MAILBOXES)),
            within_seconds=GOES_ON_SECONDS,
        )
        async with Ledger(busy) as ledger:
            assert await ledger.outcomes(load.accepted_ids()) == 0
            busy.start_process("scheduler")
            await eventually_seen(
                "the sweep finding them", lambda: ledger.finished(load.accepted_ids()), within_seconds=GOES_ON_SECONDS
            )
    await prove(busy, load)


async def test_200_buyers_and_50_pieces(busy: System) -> None:
    await stock_up(busy, ["LAST-LAMP"], pieces=50)
    async with FaultsClient(busy) as buyers:
        replies = await asyncio.gather(
            *(buyers.place({"LAST-LAMP": 1}, customer=f"buyer-{number}", wait=10) for number in range(200))
        )
        left = await buyers.get("/inventory/LAST-LAMP")
    assert [reply.status for reply in replies].count(201) == 50
    assert [(reply.status, reply.code) for reply in replies].count((409, "insufficient_stock")) == 150
    assert left.body == {"sku": "LAST-LAMP", "on_hand": 50, "reserved": 50, "available": 0}
    async with Ledger(busy) as ledger:
        stock = await ledger.connection.fetchrow("SELECT on_hand, reserved FROM stock WHERE sku = 'LAST-LAMP'")
        assert dict(stock or {}) == {"on_hand": 50, "reserved": 50}
        assert await ledger.connection.fetchval("SELECT count(*) FROM order_lines WHERE sku = 'LAST-LAMP'") == 50
    await verified(busy)


async def _until_applied_after_a_kill(ledger: Ledger, *pids: int) -> float:
    """Kills workers and waits until something is committed; returns how many seconds that took."""
    killed = time.monotonic()
    await kill(*pids)
    seq = await ledger.last_seq()

    async def goes_on() -> bool:
        return await ledger.last_seq() > seq

    await eventually_seen("a commit after a kill", goes_on, within_seconds=GOES_ON_SECONDS)
    return time.monotonic() - killed


async def _until_all_mailboxes_go_on(ledger: Ledger) -> float:
    """Waits until every mailbox has moved; returns how many seconds that took."""
    before = await ledger.entries()

    async def go_on() -> bool:
        now = await ledger.entries()
        return all(now[mailbox] > entries for mailbox, entries in before.items())

    begun = time.monotonic()
    await eventually_seen("every mailbox moving after a kill", go_on, within_seconds=GOES_ON_SECONDS)
    return time.monotonic() - begun


async def _both_listen(system: System) -> bool:
    """Whether two workers wait for activations. Other processes wait for theirs in the same way."""
    with redis.Redis.from_url(system.valkey.url) as client:
        waiting = {int(each["addr"].rpartition(":")[2]) for each in client.client_list() if each["cmd"] == "brpop"}
    pids = system.worker_pids()
    return len(pids) == 2 and all(waiting & ports(pid, system.valkey.port) for pid in pids)
