"""The hub on a real log: subscribers get what they may see, once and in order, from where they say, whatever the feed
loses and however much happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from gateway.realtime.hub import FellBehind, Hub, Subscription
from gateway.realtime.packets import Packet
from gateway.realtime.tail import Tail
from gateway.realtime.turns import Turns
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from runtime.records import EventRecord, encode, moment
from tests.system import eventually_seen

AT = 1_800_000_000_000_000
MANY = 10_000
MANY_BYTES = 10_000_000


def record(seq: int) -> EventRecord:
    """Every third event is about A, the others about B."""
    data = msgspec.Raw(b'{"sku":"x","quantity":1}')
    return EventRecord(seq, "stock.received", "A" if seq % 3 == 0 else "B", UUID(int=0), "sam", AT, data)


def turns(*, replays_max: int = 100, of_one: int = 100, events_per_second: float = 1e9) -> Turns:
    """Limits that are out of reach, except those that the test is about."""
    return Turns(replays_max=replays_max, replays_max_per_principal=of_one, events_per_second=events_per_second)


class Shop:
    """A log filled by hand, with a tail and a hub on it."""

    def __init__(self, connection: "asyncpg.Connection[Any]", tail: Tail, hub: Hub) -> None:
        self.connection = connection
        self.tail = tail
        self.hub = hub
        self.last = 0

    async def commit(self, count: int, *, told: bool = True) -> None:
        """Writes this many more events; the feed delivers the message about them, or loses it."""
        records = [record(seq) for seq in range(self.last + 1, self.last + count + 1)]
        self.last += count
        async with self.connection.transaction():
            await self.connection.executemany(
                "INSERT INTO events VALUES ($1, $2, $3, $4, $5, $6, $7)",
                [
                    (r.seq, r.type, r.subject, r.command_id, r.actor, moment(AT), bytes(r.data).decode())
                    for r in records
                ],
            )
            await self.connection.execute("UPDATE event_counter SET last_seq = $1", self.last)
        if told:
            self.tail.offer(encode(records))


class Reader:
    """Records what a subscription delivers."""

    def __init__(self, hub: Hub, *addresses: str) -> None:
        self.hub = hub
        self.seqs: list[int] = []
        self.subscription: Subscription = hub.subscription(addresses, self._take)

    def _take(self, packet: Packet, *, live: bool) -> None:
        self.seqs += packet.seqs

    async def room(self) -> None:
        await asyncio.sleep(0)

    async def resume(self, after: int, *, max_events: int = MANY, max_bytes: int = MANY_BYTES) -> None:
        await self.hub.resume(self.subscription, after, self.room, max_events=max_events, max_bytes=max_bytes)

    async def up_to(self, seq: int) -> list[int]:
        await eventually_seen(f"seq {seq}", self._reached(seq), within_seconds=10)
        return self.seqs

    def _reached(self, seq: int) -> Any:
        async def look() -> bool:
            return bool(self.seqs) and self.seqs[-1] >= seq

        return look


@pytest.fixture
async def shop(database_url: str) -> AsyncIterator[Shop]:
    engine = create_engine(database_url, pool_size=4)
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    tail = Tail(engine, silence_seconds=0.1)
    hub = Hub(engine, tail, turns())
    running = asyncio.create_task(tail.run())
    await hub.ready()
    yield Shop(connection, tail, hub)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await connection.close()
    await engine.dispose()


async def test_from_now_on(shop: Shop) -> None:
    await shop.commit(5)
    await eventually_seen("the tail", lambda: _is(shop.hub.seq == 5), within_seconds=10)
    reader = Reader(shop.hub, "log")
    reader.subscription.seq = shop.hub.seq
    shop.hub.join(reader.subscription)
    await shop.commit(4)
    assert await reader.up_to(9) == [6, 7, 8, 9]


async def _is(truth: bool) -> bool:
    return truth


async def test_the_filter(shop: Shop) -> None:
    await shop.commit(9)
    everything, some = Reader(shop.hub, "inventory"), Reader(shop.hub, "inventory/A")
    await asyncio.gather(everything.resume(0), some.resume(3))
    await shop.commit(3)
    assert await everything.up_to(12) == list(range(1, 13))
    assert await some.up_to(12) == [6, 9, 12]


@pytest.mark.parametrize("bounds", [(3, MANY_BYTES), (100, MANY_BYTES), (MANY, 1_000), (MANY, MANY_BYTES)])
async def test_resuming_while_events_pour_in_neither_repeats_nor_misses_one(
    shop: Shop, bounds: tuple[int, int]
) -> None:
    max_events, max_bytes = bounds
    await shop.commit(500)
    readers = [Reader(shop.hub, "log") for _ in range(8)]

    async def pour() -> None:
        for turn in range(60):
            await shop.commit(7, told=turn % 5 != 0)

    pouring = asyncio.create_task(pour())
    for number, reader in enumerate(readers):
        while True:  # one with little room may fall behind; it resumes from where it was
            try:
                after = reader.seqs[-1] if reader.seqs else number * 60
                await reader.resume(after, max_events=max_events, max_bytes=max_bytes)
                break
            except FellBehind:
                shop.hub.leave(reader.subscription)
                reader.subscription = shop.hub.subscription(["log"], reader._take)
    await pouring
    for number, reader in enumerate(readers):
        assert await reader.up_to(shop.last) == list(range(number * 60 + 1, shop.last + 1))


@pytest.mark.parametrize("bounds", [{"max_events": 4}, {"max_bytes": 100}])
async def test_what_arrives_while_the_last_page_is_delivered_is_limited(shop: Shop, bounds: dict[str, int]) -> None:
    await shop.commit(1)
    await eventually_seen("the tail", lambda: _is(shop.hub.seq == 1), within_seconds=10)
    reader = Reader(shop.hub, "log")

    async def room() -> None:
        if shop.last == 1:
            await shop.commit(5)
            await eventually_seen("the tail", lambda: _is(shop.hub.seq == 6), within_seconds=10)

    reader.room = room  # type: ignore[method-assign]
    with pytest.raises(FellBehind):
        await reader.resume(0, **bounds)
    assert reader.seqs == [1]


async def test_lost_messages_are_read_from_the_log(shop: Shop) -> None:
    reader = Reader(shop.hub, "log")
    await reader.resume(0)
    for turn in range(20):
        await shop.commit(3, told=turn % 3 == 0)
    assert await reader.up_to(60) == list(range(1, 61))


async def test_a_seq_that_is_yet_to_come(shop: Shop) -> None:
    await shop.commit(2)
    reader = Reader(shop.hub, "log")
    await reader.resume(5)
    await shop.commit(6)
    assert await reader.up_to(8) == [6, 7, 8]


async def test_a_subscriber_that_left_gets_nothing_more_and_leaves_nothing_behind(shop: Shop) -> None:
    goes, stays = Reader(shop.hub, "log"), Reader(shop.hub, "log", "orders")
    await asyncio.gather(goes.resume(0), stays.resume(0))
    await shop.commit(2)
    await goes.up_to(2)
    shop.hub.leave(goes.subscription)
    shop.hub.leave(goes.subscription)
    await shop.commit(2)
    assert await stays.up_to(4) == [1, 2, 3, 4]
    assert goes.seqs == [1, 2]
    shop.hub.leave(stays.subscription)
    assert not shop.hub._audiences
    assert not shop.hub._by_address
