"""A replica that lags takes over: what it acknowledged is there, and missing entries of applied commands are
noticed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Final

import asyncpg
import pytest

from ops.embedded.cluster import ValkeyCluster
from ops.verify import verify
from runtime.mailboxes.fence import known_to
from runtime.mailboxes.inbox import Bookmark, Inbox
from runtime.mailboxes.post import MailboxesUnavailable
from runtime.mailboxes.redis_keys import LOG_KEY, stream_key
from runtime.mailboxes.rejoin import rejoin
from runtime.redis_client import REDIS_UNAVAILABLE
from runtime.redis_pipeline import NO_COPIES, Copies
from tests.integration.nodes import killed, owner_of, paused
from tests.integration.shopfloor import Shopfloor
from tests.system import eventually, eventually_seen

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(90)]

MAILBOX: Final = 0
_TAKES_OVER_SECONDS: Final = 20.0


@asynccontextmanager
async def outdated_replica(cluster: ValkeyCluster, floor: Shopfloor) -> AsyncIterator[None]:
    """What happens inside is not replicated. Then the mailbox's primary is lost for good, and its replica takes over;
    what was the primary comes back as a replica."""
    primary = owner_of(cluster, stream_key(MAILBOX))
    replica = cluster.replica_of(primary)
    with paused(replica):
        primary.ask("CLIENT", "KILL", "TYPE", "REPLICA")  # what it was sent already, it would read later
        yield
        await asyncio.to_thread(primary.kill)
    try:
        await asyncio.to_thread(
            eventually, "a replica that took over", replica.is_primary, within_seconds=_TAKES_OVER_SECONDS
        )
    finally:
        await asyncio.to_thread(primary.start)
    await asyncio.to_thread(cluster.wait_until_well)
    await _is_found(floor, stream_key(MAILBOX))


@pytest.mark.parametrize("copies", [NO_COPIES, Copies(1, 200)])
async def test_only_what_a_replica_has_survives_and_with_the_setting_nothing_else_is_accepted(
    fresh: ValkeyCluster, database_url: str, copies: Copies
) -> None:
    async with Shopfloor(database_url, fresh.url, mailbox_count=1, copies=copies) as floor:
        await floor.fill(MUG=10)
        async with outdated_replica(fresh, floor):
            if copies is NO_COPIES:
                lost = await floor.post(floor.place(MAILBOX, MUG=1))
            else:
                with pytest.raises(MailboxesUnavailable):
                    await floor.post(floor.place(MAILBOX, MUG=1))
        kept = await floor.post(floor.place(MAILBOX, MUG=1))
        await floor.drain()
        assert await floor.statuses([kept]) == ["applied"]
        if copies is NO_COPIES:
            assert await floor.statuses([lost]) == ["not recorded"], "so the setting is needed"


async def test_what_a_replica_lacks_of_what_was_applied_is_noticed_and_the_count_put_right(
    fresh: ValkeyCluster, database_url: str
) -> None:
    async with Shopfloor(database_url, fresh.url, mailbox_count=1) as floor:
        await floor.fill(MUG=100)
        async with outdated_replica(fresh, floor):
            before = await floor.post_all(floor.place(MAILBOX, MUG=1) for _ in range(3))
            await floor.drain()
        after = await floor.post_all(floor.place(MAILBOX, MUG=1) for _ in range(5))
        report = await verify(floor.database_url, floor.redis_url, mailbox_count=1)
        assert "Redis knows of fewer commands than were applied" in {each["problem"] for each in report.differences}
        mended = await rejoin(floor.pool, floor.redis, floor.inbox, [MAILBOX])
        assert (mended.mended, mended.waiting) == ([MAILBOX], 5)
        await floor.drain()
        assert await floor.statuses([*before, *after]) == ["applied"] * 8
        assert (await floor.verified())["mailboxes_rejoined"] == 1


class _Meanwhile:
    """A pool of connections, and what happens when the first is taken from it."""

    def __init__(self, pool: asyncpg.Pool[Any], happens: Callable[[], object]) -> None:
        self._pool = pool
        self._happens = [happens]

    def acquire(self) -> Any:
        while self._happens:
            self._happens.pop()()
        return self._pool.acquire()


async def test_a_node_lost_while_mailboxes_rejoin_does_not_hold_up_those_on_other_nodes(
    fresh: ValkeyCluster, database_url: str
) -> None:
    on_another_node = 1
    async with Shopfloor(database_url, fresh.url) as floor:
        for mailbox in (MAILBOX, on_another_node):
            await floor.pool.execute("INSERT INTO mailboxes VALUES ($1, '9999999999999-5', 40)", mailbox)
        with ExitStack() as away:

            class Cut(Inbox):
                async def rejoin(self, mailbox: int, bookmark: Bookmark, applied: int) -> int:
                    if mailbox == MAILBOX:
                        away.enter_context(killed(owner_of(fresh, stream_key(MAILBOX))))
                    return await super().rejoin(mailbox, bookmark, applied)

            done = await rejoin(floor.pool, floor.redis, floor.new_inbox(Cut), [MAILBOX, on_another_node])
            assert done.mended == [on_another_node]
        await _is_mended(floor, MAILBOX)


async def test_a_log_that_could_not_be_made_known_is_made_known_later(fresh: ValkeyCluster, database_url: str) -> None:
    """The mailboxes are brought into step with it all the same."""
    async with Shopfloor(database_url, fresh.url) as floor:
        await floor.pool.execute("INSERT INTO mailboxes VALUES ($1, '9999999999999-5', 40)", MAILBOX)
        with ExitStack() as away:
            pool: Any = _Meanwhile(floor.pool, lambda: away.enter_context(killed(owner_of(fresh, LOG_KEY))))
            assert (await rejoin(pool, floor.redis, floor.inbox, [MAILBOX])).mended == [MAILBOX]
        await _is_found(floor, LOG_KEY)
        assert not await known_to(floor.redis)
        await rejoin(floor.pool, floor.redis, floor.inbox, [MAILBOX])
        assert len(await known_to(floor.redis)) == 1


async def _is_mended(floor: Shopfloor, mailbox: int) -> None:
    async def mended() -> bool:
        try:
            return (await rejoin(floor.pool, floor.redis, floor.inbox, [mailbox])).mended == [mailbox]
        except REDIS_UNAVAILABLE:
            return False

    await eventually_seen("the mailbox in step", mended, within_seconds=10)


async def _is_found(floor: Shopfloor, key: str) -> None:
    async def found() -> bool:
        try:
            return await floor.redis.exists(key) >= 0
        except REDIS_UNAVAILABLE:
            return False

    await eventually_seen(f"the node of {key}", found, within_seconds=10)
