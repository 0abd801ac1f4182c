"""The tail of the log: whatever the feed loses, repeats or reorders, a follower gets every event once and in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from gateway.realtime.tail import Tail
from runtime.branches import begin_branch
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from runtime.mailboxes.fence import Confirmed
from runtime.records import EventRecord, encode, microseconds, told
from tests import pace
from tests.system import eventually_seen

NOBODY = UUID(int=0)
AT = datetime(2026, 1, 1, tzinfo=UTC)
NEVER_SILENT = 60.0
SOON_SILENT = 0.05
WITHIN = 10.0


class Log:
    """The events table, filled by hand; `message` is what the feed would send for some of its rows."""

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
    def message(first: int, last: int, identity: UUID | None = None, *, age: float = 0.0) -> str:
        at = microseconds(datetime.now(UTC) - timedelta(seconds=age))
        records = [
            EventRecord(seq, "stock.received", "A", NOBODY, "ada", at, msgspec.Raw(b"{}"))
            for seq in range(first, last + 1)
        ]
        return encode(records) if identity is None else told(records, identity)


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
    """Records what the tail tells it."""

    def __init__(self, tail: Tail) -> None:
        self.seqs: list[int] = []
        self._tail = tail
        tail.watch(self._take)

    def _take(self, records: list[EventRecord]) -> None:
        self.seqs += [record.seq for record in records]

    async def begins(self) -> int:
        """Waits until the tail follows the log; returns the seq after which it follows."""
        async with pace.timeout(WITHIN):
            await self._tail.watching.wait()
        return self._tail.seq

    async def up_to(self, last: int) -> list[int]:
        """Waits until `last` is among what it was told; returns that."""

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


async def test_an_invalid_message_does_not_stop_the_tail(database_url: str, log: Log) -> None:
    async with tail_of(database_url) as tail:
        watcher = Watcher(tail)
        await watcher.begins()
        await log.commit(1)
        with pytest.raises(msgspec.MsgspecError):  # which the feed's listener logs
            tail.offer("garbage")
        tail.offer(log.message(1, 1))
        assert await watcher.up_to(1) == [1]


async def test_a_watcher_that_raises_does_not_affect_the_others(
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
async def test_it_ends_when_told_even_as_events_arrive(database_url: str, log: Log, turns: int) -> None:
    """This many turns of the event loop after the events. A tail that missed it would keep the gateway from ending."""
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


async def test_a_read_seq_is_confirmed_in_redis_before_its_events_are_passed_on(database_url: str, log: Log) -> None:
    """The writer may have been paused before it told anybody: after a restore, its seq would be given out again."""
    heard: list[str] = []

    async def confirm(read: Confirmed) -> None:
        heard.append(f"Redis: {read.seq}")

    await log.commit(3)
    engine = create_engine(database_url, pool_size=4)
    tail = Tail(engine, silence_seconds=SOON_SILENT, confirm=confirm)
    tail.watch(lambda records: heard.append(f"everybody: {records[-1].seq}"))
    running = asyncio.create_task(tail.run())
    try:
        async with pace.timeout(WITHIN):
            await tail.watching.wait()
        await log.commit(5)

        async def all_heard() -> bool:
            return "everybody: 5" in heard

        await eventually_seen("seq 5", all_heard, within_seconds=WITHIN)
        assert heard == ["Redis: 3", "Redis: 5", "everybody: 5"]
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await engine.dispose()


async def test_events_of_a_new_log_are_not_attributed_to_the_old_one(database_url: str, log: Log) -> None:
    """The log was replaced, and the feed brings an event of the new one before the tail has looked."""
    await log.commit(3)
    async with tail_of(database_url) as tail:
        heard: list[tuple[UUID, int]] = []
        tail.watch(lambda records: heard.extend((tail.branches.identity, record.seq) for record in records))
        replaced = asyncio.Event()
        tail.watch_resync(replaced.set)
        async with pace.timeout(WITHIN):
            await tail.watching.wait()
        before = tail.branches.identity
        today = await begin_branch(log.connection, before)
        await log.commit(4)
        tail.offer(log.message(4, 4, today))
        async with pace.timeout(WITHIN):
            await replaced.wait()
        assert (heard, tail.seq, tail.branches.identity) == ([], 4, today)
        tail.offer(log.message(5, 5, before))  # from somebody who was left behind
        await log.commit(5)
        tail.offer(log.message(5, 5, today))

        async def all_told() -> bool:
            return bool(heard)

        await eventually_seen("seq 5", all_told, within_seconds=WITHIN)
        assert heard == [(today, 5)]


async def test_a_message_that_comes_late_is_not_believed(database_url: str, log: Log) -> None:
    """Its sender was paused between its commit and the message, and the log was restored to before that commit."""
    await log.commit(3)
    async with tail_of(database_url) as tail:
        watcher = Watcher(tail)
        await watcher.begins()
        tail.offer(log.message(4, 5, tail.branches.identity, age=60.0))
        await log.commit(4)
        tail.offer(log.message(4, 4, tail.branches.identity))
        assert await watcher.up_to(4) == [4]
        await log.commit(6)
        tail.offer(log.message(5, 6, tail.branches.identity, age=60.0))
        assert await watcher.up_to(6) == [4, 5, 6]  # as the log has them
