"""Postgres is restored from an older backup under a running system, and Redis stays: everyone who follows the log is
told so, what only Redis has is applied, and what Redis remembers of the lost part is ignored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from domain.ids import mailbox_of_slot, slot_of_key
from ops.embedded.postgres import DATABASE
from runtime.database import asyncpg_dsn
from runtime.settings import Settings
from tests import pace
from tests.e2e.api import Client
from tests.e2e.faults import workers_stopped
from tests.e2e.feed import Feeds
from tests.e2e.ledger import stock_up, verified
from tests.system import System, eventually_seen
from tidegate.client import NOT_THIS_LOG, NOT_THIS_LOG_CODES, Feed, FeedRefused

pytestmark = pytest.mark.campaign

SKU: Final = "KETTLE"
TOLD_SECONDS: Final = 10.0
_BACKUP: Final = "backup"


def _alone(system: System, *statements: str) -> None:
    """Runs the statements while nothing is, or can get, connected to the database."""
    postgres = system.postgres
    postgres.psql(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false", "template1")
    postgres.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}'", "template1")
    for statement in statements:
        postgres.psql(statement, "template1")
    postgres.psql(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true", "template1")


def _back_up(system: System) -> None:
    _alone(system, f"CREATE DATABASE {_BACKUP} TEMPLATE {DATABASE}")


def _put_back(system: System) -> None:
    _alone(system, f"DROP DATABASE {DATABASE} WITH (FORCE)", f"ALTER DATABASE {_BACKUP} RENAME TO {DATABASE}")


async def _accepted(customer: Client, key: str) -> dict[str, Any]:
    """Places an order as a patient client does: retries while something is unavailable."""
    answers: list[dict[str, Any]] = []

    async def place() -> bool:
        answer = await customer.place({SKU: 1}, wait=5, key=key)
        if answer.status == 503:
            return False
        answers.append(answer.json())
        assert answer.status in (201, 202), answer.body
        return answer.status == 201

    await eventually_seen(f"the order {key}", place, within_seconds=30)
    return answers[-1]


def _mailbox_of(key: str) -> int:
    """The mailbox of ann's order with this key."""
    return mailbox_of_slot(slot_of_key(f"ann\n{key}"), Settings.model_fields["mailbox_count"].default)


def _untouched(*keys: str) -> int:
    """A mailbox that none of ann's orders with these keys goes to."""
    return next(m for m in range(len(keys) + 1) if m not in map(_mailbox_of, keys))


async def _last_seq(system: System) -> int:
    connection = await asyncpg.connect(asyncpg_dsn(system.postgres.url))
    try:
        return int(await connection.fetchval("SELECT last_seq FROM event_counter"))
    finally:
        await connection.close()


async def test_restored_under_load_everyone_is_told_and_nothing_accepted_is_lost(system: System) -> None:
    await stock_up(system, [SKU])
    async with aiohttp.ClientSession() as http:
        customer = Client(http, system.url, system.token("customer", "ann"), "ann")
        kept = await _accepted(customer, "kept")
        await asyncio.to_thread(_back_up, system)
        lost = await _accepted(customer, "lost")
        feeds = Feeds(system, http)
        staff = system.token("staff")
        follower = Feed(http, system.url, staff, ["log"], after=0)
        refusals: list[str] = []
        following = asyncio.create_task(_follow(follower, refusals))
        before = await _last_seq(system)
        await eventually_seen("the follower", _reached(follower, before), within_seconds=TOLD_SECONDS)
        async with feeds.opened(staff, "/ws", topics="log") as socket, workers_stopped(system):
            assert (await socket.next("subscribed"))["after"] >= before
            # One in the mailbox of the lost order, whose position differs from what Redis knows; and one in an
            # untouched mailbox.
            mailboxes = {_mailbox_of("lost"), _untouched("lost", "kept")}
            keys = [
                next(key for key in map(str, range(10_000)) if _mailbox_of(key) == mailbox) for mailbox in mailboxes
            ]
            waiting = [(await customer.place({SKU: 1}, wait=None, key=key)).ok(202) for key in keys]
            await asyncio.to_thread(_put_back, system)
            async with pace.timeout(TOLD_SECONDS):
                assert await socket.closed() == (NOT_THIS_LOG, "another_log")
                await following
        assert refusals[0] in NOT_THIS_LOG_CODES

        for command in waiting:
            settled = await customer.settled(command["command_id"])
            assert settled["status"] == "applied", "only Redis had it"
        again = await _accepted(customer, "lost")
        assert again["id"] != lost["id"], "its key is free: the order no longer existed"
        assert (await _accepted(customer, "kept"))["id"] == kept["id"]
        assert (await customer.get(f"/orders/{lost['id']}")).status == 404

        page = (await Client(http, system.url, staff).get("/events", after=0)).ok()
        sources = {event["source"] for event in page["items"]}
        assert len(sources) == 2, "the log continues under another identity"
        assert f"urn:uuid:{page['log']}" == page["items"][-1]["source"]
        with pytest.raises(FeedRefused, match="another_log"):
            await anext(aiter(Feed(http, system.url, staff, ["log"], after=follower.seq, log=follower.log)))
    await verified(system)
    assert not system.tracebacks()


async def _follow(feed: Feed, refusals: list[str]) -> None:
    try:
        async for _ in feed:
            pass
    except FeedRefused as refused:
        refusals.append(refused.code)


def _reached(feed: Feed, seq: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return feed.seq != "now" and feed.seq >= seq

    return look
