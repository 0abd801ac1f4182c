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

from gateway.realtime.tail import Tail
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from runtime.records import EventRecord, encode, microseconds
from tests import pace
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


class Watcher:
    """Notes what the tail tells it."""

    def __init__(self, tail: Tail) -> None:
        self.seqs: list[int] = []
        self._tail = tail
        tail.watch(self._take)

    def _take(self, records: list[EventRecord]) -> None:
        self.seqs += [record.seq for record in records]

    async def begins(self) -> int:
        """Returns when the tail follows the log, and behind which seq."""
        async with pace.timeout(WITHIN):
            await self._tail.watching.wait()
        return self._tail.seq

    async def up_to(self, last: int) -> list[int]:
        """What it was told, once `last` is among it."""

        async def there() -> bool:
            return last in self.seqs

        await eventually_seen(f"seq {last}", there, within_seconds=WITHIN)
        return self.seqs


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
        watcher = Watcher(tail)
        assert await watcher.begins() == 3
        await log.commit(9)
        for first, last in messages:
            tail.offer(log.message(first, last))
        assert await watcher.up_to(9) == [4, 5, 6, 7, 8, 9]


async def test_what_the_feed_never_mentions_is_found_after_a_silence(database_url: str, log: Log) -> None:
    async with tail_of(database_url, silence_seconds=SOON_SILENT) as tail:
        watcher = Watcher(tail)
        await watcher.begins()
        await log.commit(5)
        assert await watcher.up_to(5) == [1, 2, 3, 4, 5]


async def test_what_the_feed_lost_while_it_was_interrupted_is_read_at_once(database_url: str, log: Log) -> None:
    async with tail_of(database_url) as tail:
        watcher = Watcher(tail)
        await watcher.begins()
        await log.commit(5)
        tail.look_again()
        assert await watcher.up_to(5) == [1, 2, 3, 4, 5]


async def test_a_message_that_is_no_event_stops_nobody(database_url: str, log: Log) -> None:
    async with tail_of(database_url) as tail:
        watcher = Watcher(tail)
        await watcher.begins()
        await log.commit(1)
        with pytest.raises(msgspec.MsgspecError):  # which the feed's listener logs
            tail.offer("garbage")
        tail.offer(log.message(1, 1))
        assert await watcher.up_to(1) == [1]


async def test_a_watcher_that_stumbles_takes_nothing_from_the_others(
    database_url: str, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(records: list[EventRecord]) -> None:
        raise RuntimeError("stumbled")

    async with tail_of(database_url) as tail:
        tail.watch(stumble)
        watcher = Watcher(tail)
        await watcher.begins()
        await log.commit(2)
        tail.offer(log.message(1, 2))
        assert await watcher.up_to(2) == [1, 2]
    assert "stumbled" in caplog.text


@pytest.mark.parametrize("turns", range(4))
async def test_it_ends_when_told_even_as_news_come_in(database_url: str, log: Log, turns: int) -> None:
    """So many turns of the event loop after the news. A tail that missed it would keep the gateway from ending."""
    engine = create_engine(database_url, pool_size=1)
    tail = Tail(engine, silence_seconds=NEVER_SILENT)
    running = asyncio.create_task(tail.run())
    await Watcher(tail).begins()
    tail.offer(log.message(1, 1))
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running], timeout=pace.seconds(WITHIN))
    assert running.cancelled()
    await engine.dispose()
