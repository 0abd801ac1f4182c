"""Reads with a real streaming replica: what it may answer, what goes to the primary, and that a read that names a seq
sees it on either."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from fastapi import Request
from prometheus_client import REGISTRY
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.web.problems import Problem
from gateway.web.reads import Reads, seq_at_least
from ops.doctor.replica import of_replica
from ops.embedded import postgres
from ops.embedded.postgres import PostgresServer
from ops.ports import free_port
from runtime.database import asyncpg_dsn
from runtime.engine import VIEW_FAILED, create_engine
from runtime.replica import Lag, Place, Replica
from runtime.settings import Settings
from tests import pace, servers
from tests.replica import PostgresReplica, replica_of
from tests.system import eventually_seen

WITHIN: Final = 10.0
PATIENT: Final = 30.0


class Pair(NamedTuple):
    """A primary and its replica."""

    primary: PostgresServer
    replica: PostgresReplica


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with servers.folder() as home:
        servers.prepare(home)
        primary = PostgresServer(home, settings=postgres.NOT_DURABLE)
        primary.start()
        try:
            with replica_of(primary, home) as replica:
                yield Pair(primary, replica)
        finally:
            primary.stop()


class Shown(NamedTuple):
    """What a read saw: the log's last seq, and whether a replica showed it."""

    seq: int
    by_replica: bool


async def look(connection: AsyncConnection) -> Shown:
    said = await connection.execute(sa.text("SELECT last_seq, pg_is_in_recovery() FROM event_counter"))
    return Shown(*said.one())


class Readers:
    """The reads of one gateway, which knows of the primary's log as much as `seen`."""

    def __init__(self, pair: Pair, *, wait_seconds: float = 0.05, lag_max_seconds: float = 3600.0) -> None:
        self.seen = 0
        self.identity: UUID | None = None
        self._primary = create_engine(pair.primary.url, pool_size=4)
        self.replica = Replica(
            create_engine(pair.replica.url, pool_size=4),
            create_engine(pair.replica.url, pool_size=1),
            primary=lambda: Place(self.seen, self.identity),
            lag_max_seconds=lag_max_seconds,
        )
        self.reads = Reads(self._primary, self.replica, seen=lambda: self.seen, wait_seconds=wait_seconds)
        self.database: asyncpg.Connection[Any]
        self._pair = pair

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Readers]:
        self.database = await asyncpg.connect(asyncpg_dsn(self._pair.primary.url))
        following = asyncio.create_task(self.replica.run())
        try:
            await self.becomes(trusted=True)
            yield self
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await self.replica.close()
            await self._primary.dispose()
            await self.database.close()

    async def becomes(self, *, trusted: bool) -> None:
        async def is_so() -> bool:
            return self.replica.is_trusted == trusted

        await eventually_seen(f"a replica that is{'' if trusted else ' not'} trusted", is_so, within_seconds=WITHIN)

    async def write(self) -> int:
        """Commits an event; returns its seq, of which this gateway has not heard yet."""
        seq: int = await self.database.fetchval("UPDATE event_counter SET last_seq = last_seq + 1 RETURNING last_seq")
        return seq

    async def level(self) -> int:
        """Commits an event, and waits until the replica shows it."""
        seq = await self.write()

        async def is_level() -> bool:
            return await self.reads.read_at(None, look) == Shown(seq, True)

        await eventually_seen("a level replica", is_level, within_seconds=WITHIN)
        return seq


@pytest.fixture
async def readers(pair: Pair) -> AsyncIterator[Readers]:
    async with Readers(pair).running() as readers:
        yield readers


@pytest.fixture
def paused(pair: Pair) -> Iterator[PostgresReplica]:
    """The replica, which is held where it was when the test asks for that."""
    yield pair.replica
    pair.replica.resume()


def results(result: str) -> float:
    return REGISTRY.get_sample_value("tidegate_replica_reads_total", {"result": result}) or 0.0


async def test_reads_go_to_the_replica(readers: Readers) -> None:
    seq, before = await readers.level(), results("answered")
    assert await readers.reads.read_at(None, look) == Shown(seq, True)
    assert await readers.reads.read_at(seq, look) == Shown(seq, True)
    assert results("answered") == before + 2


async def test_a_read_that_names_a_seq_sees_its_write(readers: Readers, paused: PostgresReplica) -> None:
    before = await readers.level()
    paused.pause()
    seq = await readers.write()
    assert await readers.reads.read_at(None, look) == Shown(before, True)
    assert await readers.reads.read_at(before, look) == Shown(before, True)
    assert await readers.reads.read_at(seq, look) == Shown(seq, False)


async def test_a_read_waits_for_a_replica_that_catches_up(pair: Pair, paused: PostgresReplica) -> None:
    async with Readers(pair, wait_seconds=PATIENT).running() as readers:
        await readers.level()
        paused.pause()
        seq = await readers.write()
        waiting = [asyncio.create_task(readers.reads.read_at(seq, look)) for _ in range(20)]
        done, _ = await asyncio.wait(waiting, timeout=0.3)
        assert not done
        paused.resume()
        async with pace.timeout(WITHIN):
            assert await asyncio.gather(*waiting) == [Shown(seq, True)] * 20


async def test_a_replica_that_lags_is_not_waited_for(pair: Pair, paused: PostgresReplica) -> None:
    """Its lag says that waiting would be in vain."""
    async with Readers(pair, wait_seconds=0.5).running() as readers:
        await readers.level()
        paused.pause()
        seq = readers.seen = await readers.write()

        async def lags() -> bool:
            return (REGISTRY.get_sample_value("tidegate_replica_lag_seconds") or 0.0) > 0.5

        await eventually_seen("a lag", lags, within_seconds=WITHIN)
        assert REGISTRY.get_sample_value("tidegate_replica_lag_events") == 1
        began = asyncio.get_running_loop().time()
        assert await readers.reads.read_at(seq, look) == Shown(seq, False)
        assert asyncio.get_running_loop().time() - began < 0.5


async def test_a_replica_that_lags_too_far_is_not_read(
    pair: Pair, paused: PostgresReplica, caplog: pytest.LogCaptureFixture
) -> None:
    async with Readers(pair, lag_max_seconds=0.3).running() as readers:
        await readers.level()
        paused.pause()
        seq = readers.seen = await readers.write()
        await readers.becomes(trusted=False)
        before = results("distrusted")
        assert await readers.reads.read_at(None, look) == Shown(seq, False)
        assert results("distrusted") == before + 1
        assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
            "reads go to the primary, not to the replica: it lags by more than 0.3 s"
        ]
        assert REGISTRY.get_sample_value("tidegate_replica_gateways", {"trusted": "no"}) == 1
        paused.resume()
        await readers.becomes(trusted=True)
        assert await readers.reads.read_at(None, look) == Shown(seq, True)


async def test_no_read_fails_while_the_replica_is_killed_and_comes_back(readers: Readers, pair: Pair) -> None:
    seq = await readers.level()
    seen: list[Shown] = []

    async def read() -> None:
        while True:
            seen.append(await readers.reads.read_at(seq, look))

    reading = [asyncio.create_task(read()) for _ in range(3)]
    try:
        await asyncio.to_thread(pair.replica.kill)
        await readers.becomes(trusted=False)
        assert await readers.reads.read_at(None, look) == Shown(seq, False)
        await asyncio.to_thread(pair.replica.start)
        await readers.becomes(trusted=True)
        assert await readers.level() == seq + 1
        assert not any(each.done() for each in reading), reading
    finally:
        for each in reading:
            each.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    assert {each.seq for each in seen} <= {seq, seq + 1}
    assert {each.by_replica for each in seen} == {True, False}


async def test_a_read_that_the_replica_breaks_off_is_made_of_the_primary(readers: Readers) -> None:
    """As replicas do with queries that conflict with recovery."""
    seq, before = await readers.level(), results("failed")

    async def ended_by_a_replica(connection: AsyncConnection) -> Shown:
        shown = await look(connection)
        if shown.by_replica:
            await connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return shown

    assert await readers.reads.read_at(None, ended_by_a_replica) == Shown(seq, False)
    assert results("failed") == before + 1


async def test_what_was_shown_counts_although_the_connection_breaks_after_it(readers: Readers) -> None:
    seq = await readers.level()

    async def ends_after_it(connection: AsyncConnection) -> Shown:
        shown = await look(connection)
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        raw.driver_connection.terminate()
        return shown

    assert await readers.reads.read_at(None, ends_after_it) == Shown(seq, True)


async def test_a_read_that_takes_too_long_is_not_made_twice(readers: Readers) -> None:
    asked: list[Shown] = []

    async def slow(connection: AsyncConnection) -> None:
        asked.append(await look(connection))
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await readers.reads.read_at(None, slow)
    assert [each.by_replica for each in asked] == [True]


async def test_a_connection_may_be_held(readers: Readers) -> None:
    """By an export, say; nothing that was asked before belongs to its transaction's past."""
    seq = await readers.level()
    async with AsyncExitStack() as stack:

        async def begin(connection: AsyncConnection) -> AsyncConnection:
            return connection

        connection = await readers.reads.hold(stack, seq, begin)
        assert await look(connection) == Shown(seq, True)
    assert connection.closed


async def test_a_replica_of_another_log_is_not_read(readers: Readers) -> None:
    await readers.level()
    readers.identity = UUID(int=1)
    await readers.becomes(trusted=False)
    assert not (await readers.reads.read_at(None, look)).by_replica


async def test_reads_go_on_while_the_primary_is_away(pair: Pair) -> None:
    async with Readers(pair).running() as readers:
        seq = await readers.level()
        await asyncio.to_thread(pair.primary.stop)
        try:
            assert await readers.reads.read_at(None, look) == Shown(seq, True)
            assert await readers.reads.read_at(seq, look) == Shown(seq, True)
            with pytest.raises(VIEW_FAILED):
                await readers.reads.read_at(seq + 1, look)
        finally:
            await asyncio.to_thread(pair.primary.start)


async def test_a_seq_that_the_log_has_not_reached_is_refused(readers: Readers) -> None:
    seq = await readers.level()
    with pytest.raises(Problem) as refused:
        await readers.reads.read_at(seq + 1, look)
    assert (refused.value.code, refused.value.extensions) == ("seq_not_reached", {"last_seq": seq})
    # What this gateway knows the primary to have is not asked again.
    readers.seen = seq + 1
    assert await readers.reads.read_at(seq + 1, look) == Shown(seq, False)


async def test_without_a_replica_the_primary_is_read(pair: Pair) -> None:
    engine = create_engine(pair.primary.url, pool_size=1)
    try:
        reads = Reads(engine, None, seen=lambda: 0, wait_seconds=PATIENT)
        seq = (await reads.read_at(None, look)).seq
        assert await reads.read_at(seq, look) == Shown(seq, False)
        with pytest.raises(Problem, match="The log ends"):
            await reads.read_at(seq + 1, look)
    finally:
        await engine.dispose()


async def test_the_doctor_looks_at_it(pair: Pair) -> None:
    config = Settings().model_copy(update={"database_url": pair.primary.url, "read_database_url": pair.replica.url})
    assert [(each.check, each.level) for each in await of_replica(config)] == [
        ("replica", "ok"),
        ("replica feedback", "warning"),
    ]
    away = config.model_copy(update={"read_database_url": f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"})
    assert [(each.check, each.level) for each in await of_replica(away)] == [("replica", "failure")]
    assert await of_replica(config.model_copy(update={"read_database_url": None})) == []


async def test_a_promoted_replica_is_not_read(pair: Pair) -> None:
    """It takes writes that the primary's log does not have. The last test of this pair."""
    async with Readers(pair).running() as readers:
        seq = await readers.level()
        await asyncio.to_thread(pair.replica.promote)
        await readers.becomes(trusted=False)
        assert await readers.reads.read_at(None, look) == Shown(seq, False)
        # Nor by one who has not heard of it yet.
        readers.replica._judge(None)
        assert await readers.reads.read_at(seq, look) == Shown(seq, False)


def test_the_lag_is_counted_from_the_first_event_that_is_missing() -> None:
    lag = Lag()
    places = [(0.0, 10, 10), (1.0, 11, 10), (2.0, 15, 10), (3.0, 15, 11), (4.0, 15, 15), (5.0, 16, 15), (6.0, 16, 16)]
    assert [lag.seconds(*place) for place in places] == [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0]


def asking(*headers: tuple[bytes, bytes]) -> Request:
    return Request({"type": "http", "headers": list(headers)})


def test_the_header_names_a_seq() -> None:
    assert seq_at_least(asking()) is None
    assert seq_at_least(asking((b"if-seq-at-least", b"0"))) == 0
    assert seq_at_least(asking((b"if-seq-at-least", b"9223372036854775807"))) == 2**63 - 1


@pytest.mark.parametrize("said", [b"", b"-1", b"1.0", b"x", b"9223372036854775808", b"1" * 5_000, "٣".encode(), b"1,2"])
def test_an_invalid_seq_is_refused(said: bytes) -> None:
    with pytest.raises(Problem) as refused:
        seq_at_least(asking((b"if-seq-at-least", said)))
    (error,) = refused.value.extensions["errors"]
    assert (refused.value.status, error["pointer"], error["type"]) == (422, "/header/If-Seq-At-Least", "not_seq")
