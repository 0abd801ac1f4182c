"""The tail of the log: whatever the feed loses, repeats or disorders, a follower gets every event once and in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from gateway.tail import Follower, Tail
from runtime.database import asyncpg_dsn, create_engine
from runtime.records import EventRecord, encode, microseconds
from tests.system import eventually_seen

NOBODY = UUID(int=0)
AT = datetime(2026, 1, 1, tzinfo=UTC)
NEVER_SILENT = 60.0
SOON_SILENT = 0.05
WITHIN = 10.0


class Log:
    """The events table, written by hand; `message` is what the feed would say of some of it."""

    def __init__(self, connection: "asyncpg.Connection[Any]") -> None:
        self.connection = connection

    async def commit(self, last: int) -> None:
        """Fills the log up to `last`."""
        async with self.connection.transaction():
            first = 1 + await self.connection.fetchval("SELECT last_seq FROM event_counter FOR UPDATE")
            await self.connection.executemany(
                "INSERT INTO events VALUES ($1, 'stock.received', 'A', $2, 'ada', $3, '{}')",
                [(seq, NOBODY, AT) for seq in range(first, last + 1)],
            )
            await self.connection.execute("UPDATE event_counter SET last_seq = $1", last)

    @staticmethod
    def message(first: int, last: int) -> str:
        return encode(
            [
                EventRecord(seq, "stock.received", "A", NOBODY, "ada", microseconds(AT), msgspec.Raw(b"{}"))
                for seq in range(first, last + 1)
            ]
        )


@pytest.fixture
async def log(database_url: str) -> AsyncIterator[Log]:
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    yield Log(connection)
    await connection.close()


@asynccontextmanager
async def tail_of(database_url: str, *, silence_seconds: float = NEVER_SILENT) -> AsyncIterator[Tail]:
    engine = create_engine(database_url, pool_size=4)
    tail = Tail(engine, silence_seconds=silence_seconds)
    running = asyncio.create_task(tail.run())
    try:
        yield tail
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await engine.dispose()


async def take(follower: Follower, last: int) -> list[int]:
    """The seqs that the follower gets, up to `last`."""
    seqs: list[int] = []
    async with asyncio.timeout(WITHIN):
        while not seqs or seqs[-1] < last:
            seqs += [record.seq for record in await follower.take()]
    return seqs


@asynccontextmanager
async def locked(database_url: str, table: str) -> AsyncIterator[None]:
    """Meanwhile nobody can read the table."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            yield
    finally:
        await connection.close()


async def blocked(log: Log, waiting: int) -> None:
    """Returns once so many sessions of this database wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    async def enough() -> bool:
        return bool(await log.connection.fetchval(query) >= waiting)

    await eventually_seen(f"{waiting} sessions that wait for a lock", enough, within_seconds=WITHIN)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([(4, 4), (5, 6), (7, 9)], id="in_order"),
        pytest.param([(7, 9), (4, 4), (5, 6)], id="in_any_order"),
        pytest.param([(4, 6), (5, 6), (4, 9), (4, 9)], id="repeated"),
        pytest.param([(7, 9)], id="some_lost"),
        pytest.param([(1, 2), (3, 5), (9, 9)], id="old_ones_among_them"),
    ],
)
async def test_every_event_once_and_in_order(database_url: str, log: Log, messages: list[tuple[int, int]]) -> None:
    await log.commit(3)
    async with tail_of(database_url) as tail:
        follower = await tail.follow(queue_max_events=100)
        assert follower.after == 3
        await log.commit(9)
        for first, last in messages:
            tail.offer(log.message(first, last))
        assert await take(follower, 9) == [4, 5, 6, 7, 8, 9]


async def test_what_the_feed_never_mentions_is_found_after_a_silence(database_url: str, log: Log) -> None:
    async with tail_of(database_url, silence_seconds=SOON_SILENT) as tail:
        follower = await tail.follow(queue_max_events=100)
        await log.commit(5)
        assert await take(follower, 5) == [1, 2, 3, 4, 5]


async def test_a_message_that_is_no_event_stops_nobody(database_url: str, log: Log) -> None:
    async with tail_of(database_url) as tail:
        follower = await tail.follow(queue_max_events=100)
        await log.commit(1)
        with pytest.raises(msgspec.MsgspecError):  # which the feed's listener logs
            tail.offer("garbage")
        tail.offer(log.message(1, 1))
        assert await take(follower, 1) == [1]


async def test_a_follower_begins_now_however_long_nobody_followed(database_url: str, log: Log) -> None:
    async with tail_of(database_url) as tail:
        tail.unfollow(await tail.follow(queue_max_events=100))
        await log.commit(50)
        follower = await tail.follow(queue_max_events=10)
        assert follower.after == 50
        await log.commit(51)
        tail.offer(log.message(51, 51))
        assert await take(follower, 51) == [51]


async def test_of_two_who_come_first_at_once_neither_misses_anything(database_url: str, log: Log) -> None:
    """Both look where the log ends; it grows before the second has its answer."""
    await log.commit(3)
    async with tail_of(database_url) as tail:
        async with locked(database_url, "event_counter"):
            both = [asyncio.create_task(tail.follow(queue_max_events=100)) for _ in range(2)]
            await blocked(log, waiting=2)
        await log.commit(6)
        followers = await asyncio.gather(*both)
        tail.offer(log.message(6, 6))
        for follower in followers:
            assert await take(follower, 6) == list(range(follower.after + 1, 7))


async def test_one_goes_and_another_comes_while_the_log_is_read(database_url: str, log: Log) -> None:
    """The tail reads what the first missed; what it brings back, the second, who begins behind that, must not get."""
    async with tail_of(database_url) as tail:
        first = await tail.follow(queue_max_events=100)
        await log.commit(5)
        async with locked(database_url, "events"):
            tail.offer(log.message(5, 5))
            await blocked(log, waiting=1)
            tail.unfollow(first)
            second = await tail.follow(queue_max_events=100)
            assert second.after == 5
        await log.commit(6)
        tail.offer(log.message(6, 6))
        assert await take(second, 6) == [6]


@pytest.mark.parametrize("turns", range(4))
async def test_it_ends_when_told_even_as_news_come_in(database_url: str, log: Log, turns: int) -> None:
    """So many turns of the event loop after the news. A tail that missed it would keep the gateway from ending."""
    engine = create_engine(database_url, pool_size=1)
    tail = Tail(engine, silence_seconds=NEVER_SILENT)
    running = asyncio.create_task(tail.run())
    await tail.follow(queue_max_events=1)
    tail.offer(log.message(1, 1))
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=WITHIN)
    assert running.cancelled()
    await engine.dispose()


async def test_without_postgres_nobody_can_follow(database_url: str) -> None:
    async with tail_of("postgresql://nobody@127.0.0.1:1/nothing") as tail:
        with pytest.raises(OSError, match=r"refused|failed"):
            await tail.follow(queue_max_events=1)
