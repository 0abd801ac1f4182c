"""The feed: results reach listeners in order; a listener survives the loss of Redis, and knows when it may have missed
something."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import msgspec
import pytest

from ops.embedded import valkey
from ops.embedded.valkey import ValkeyServer
from runtime import records
from runtime.branches import read_branches
from runtime.feed import EVENTS_CHANNEL, Listener, Publisher
from runtime.records import APPLIED, CHUNK_MAX_EVENTS, REJECTED, EventRecord, Outcome
from tests import servers
from tests.integration.shopfloor import Shopfloor
from tests.system import eventually_seen

_WITHIN_SECONDS: Final = 15.0


async def _eventually(what: str, seen: Callable[[], object]) -> None:
    async def look() -> object:
        return seen()

    await eventually_seen(what, look, within_seconds=_WITHIN_SECONDS)


class Heard:
    """What a listener received on its channels, and how often it may have missed something."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.replies: list[str] = []
        self.reconnects = 0

    def reconnected(self) -> None:
        self.reconnects += 1


@asynccontextmanager
async def _listening(redis_url: str) -> AsyncIterator[Heard]:
    heard = Heard()
    listener = Listener(
        redis_url, {EVENTS_CHANNEL: heard.events.append, "replies": heard.replies.append}, heard.reconnected
    )
    await listener.start()
    try:
        yield heard
    finally:
        await listener.stop()


@asynccontextmanager
async def _publisher(redis_url: str) -> AsyncIterator[Publisher]:
    publisher = Publisher(redis_url)
    try:
        yield publisher
    finally:
        await publisher.close()


async def _until_heard(publisher: Publisher, heard: Heard, message: str) -> None:
    """Publishes the message repeatedly until it is heard, because resubscribing takes a moment."""

    async def is_heard() -> bool:
        await publisher.publish([(EVENTS_CHANNEL, message)])
        return message in heard.events

    await eventually_seen(f"{message!r} heard", is_heard, within_seconds=_WITHIN_SECONDS)


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey that the test may stop."""
    with servers.folder() as home:
        server = ValkeyServer(home, settings=valkey.NOT_DURABLE)
        server.start()
        yield server
        server.kill()


async def test_messages_are_heard_in_order_and_on_their_own_channel(redis_url: str) -> None:
    async with _listening(redis_url) as heard, _publisher(redis_url) as publisher:
        sent = [(EVENTS_CHANNEL if number % 3 else "replies", f"message {number}") for number in range(3_000)]
        await publisher.publish(sent)
        await _eventually("all messages", lambda: len(heard.events) + len(heard.replies) == len(sent))
        assert heard.events == [message for channel, message in sent if channel == EVENTS_CHANNEL]
        assert heard.replies == [message for channel, message in sent if channel == "replies"]
        assert heard.reconnects == 0


async def test_messages_published_by_several_calls_keep_their_order_and_are_sent_before_the_end(redis_url: str) -> None:
    sent = [f"message {number}" for number in range(100)]
    async with _listening(redis_url) as heard:
        async with _publisher(redis_url) as publisher:
            for message in sent:
                await publisher.publish([(EVENTS_CHANNEL, message)])
        await _eventually("all messages", lambda: len(heard.events) == len(sent))
        assert heard.events == sent


async def test_every_listener_hears_everything(redis_url: str) -> None:
    async with _listening(redis_url) as one, _listening(redis_url) as other, _publisher(redis_url) as publisher:
        await publisher.publish([(EVENTS_CHANNEL, "a"), (EVENTS_CHANNEL, "b")])
        await _eventually("both messages at both", lambda: len(one.events) == len(other.events) == 2)
        assert one.events == other.events == ["a", "b"]


async def test_a_message_that_cannot_be_handled_does_not_end_the_listener(redis_url: str) -> None:
    heard: list[str] = []

    def handle(message: str) -> None:
        heard.append(message)
        if message == "bad":
            raise ValueError("this one is bad")

    listener = Listener(redis_url, {EVENTS_CHANNEL: handle}, lambda: None)
    await listener.start()
    try:
        async with _publisher(redis_url) as publisher:
            await publisher.publish([(EVENTS_CHANNEL, message) for message in ("good", "bad", "good again")])
            await _eventually("all messages", lambda: len(heard) == 3)
    finally:
        await listener.stop()


async def test_a_listener_survives_the_loss_of_redis_and_says_that_it_may_have_missed_something(
    own_valkey: ValkeyServer,
) -> None:
    async with _listening(own_valkey.url) as heard, _publisher(own_valkey.url) as publisher:
        await _until_heard(publisher, heard, "before")
        await asyncio.to_thread(own_valkey.kill)
        await publisher.publish([(EVENTS_CHANNEL, "meanwhile")])  # lost, which is allowed
        await asyncio.to_thread(own_valkey.start)
        await _eventually("a reconnection", lambda: heard.reconnects)
        await _until_heard(publisher, heard, "after")
        assert "meanwhile" not in heard.events


async def test_a_listener_may_start_before_its_redis(own_valkey: ValkeyServer) -> None:
    await asyncio.to_thread(own_valkey.stop)
    async with _listening(own_valkey.url) as heard, _publisher(own_valkey.url) as publisher:
        await asyncio.to_thread(own_valkey.start)
        await _until_heard(publisher, heard, "at last")
        await publisher.publish([("replies", "for you")])
        await _eventually("the reply", lambda: heard.replies == ["for you"])


async def test_a_silent_redis_counts_as_lost(own_valkey: ValkeyServer, caplog: pytest.LogCaptureFixture) -> None:
    async with _listening(own_valkey.url) as heard, _publisher(own_valkey.url) as publisher:
        await _until_heard(publisher, heard, "before")
        os.kill(own_valkey.pid, signal.SIGSTOP)  # connected as ever, and silent
        try:
            await _eventually("the loss", lambda: "the feed lost Redis" in caplog.text)
        finally:
            os.kill(own_valkey.pid, signal.SIGCONT)
        await _eventually("a reconnection", lambda: heard.reconnects)
        await _until_heard(publisher, heard, "after")


async def test_a_batch_publishes_its_outcomes_first_and_then_its_events_as_in_the_log(floor: Shopfloor) -> None:
    await floor.fill(MUG=5)
    filled = len(await floor.log())
    everything: list[tuple[str, str]] = []
    listener = Listener(
        floor.redis_url,
        {
            EVENTS_CHANNEL: lambda message: everything.append((EVENTS_CHANNEL, message)),
            "replies": lambda message: everything.append(("replies", message)),
        },
        lambda: None,
    )
    await listener.start()
    try:
        waited = [
            await floor.post(floor.place(0, MUG=4), reply_to="replies"),
            await floor.post(floor.place(0, MUG=4), reply_to="replies"),
        ]
        unheard = await floor.post(floor.place(0, MUG=1))
        await floor.drain(0)
        await _eventually("both messages", lambda: len(everything) == 2)
    finally:
        await listener.stop()
    (_, replies), (_, events) = sorted(everything, reverse=True)
    outcomes = records.decode_outcomes(replies)
    assert [(outcome.command_id, outcome.status) for outcome in outcomes] == [
        (waited[0], APPLIED),
        (waited[1], REJECTED),
    ]
    assert msgspec.json.decode(outcomes[1].data)["code"] == "insufficient_stock"
    first, *others = records.decode_records(events)
    assert first.log == (await read_branches(floor.pool)).identity
    told = [msgspec.structs.replace(first, log=None), *others]
    assert [record.command_id for record in told] == [*waited, unheard]
    assert told == await _logged(floor, after=filled)
    assert outcomes == [
        Outcome(r.command_id, o.status, r.seq, r.type, r.occurred_at, r.data)
        for r, o in zip(told, outcomes, strict=False)
    ]
    await floor.verified()


async def test_the_number_of_events_in_a_message_is_limited(database_url: str, redis_url: str) -> None:
    async with Shopfloor(database_url, redis_url, batch_max_commands=1_000) as floor:
        await floor.fill(MUG=1_000)
        filled = len(await floor.log())
        async with _listening(redis_url) as heard:
            await floor.post_all(floor.place(0, MUG=1) for _ in range(600))
            await floor.drain(0)
            await _eventually("the last event", lambda: heard.events and _seqs(heard)[-1] == filled + 600)
        sizes = [len(records.decode_records(message)) for message in heard.events]
        assert sizes == [CHUNK_MAX_EVENTS, CHUNK_MAX_EVENTS, 600 - 2 * CHUNK_MAX_EVENTS]
        assert _seqs(heard) == list(range(filled + 1, filled + 601))
        await floor.verified()


async def test_what_cannot_be_published_is_in_the_log(
    database_url: str, redis_url: str, own_valkey: ValkeyServer
) -> None:
    async with Shopfloor(database_url, redis_url) as floor:
        floor.publisher = Publisher(own_valkey.url)
        await asyncio.to_thread(own_valkey.kill)
        await floor.fill(MUG=10)
        posted: list[UUID] = await floor.post_all(floor.place(0, MUG=1) for _ in range(3))
        await floor.drain(0)
        assert await floor.statuses(posted) == ["applied"] * 3
        await floor.verified()


def _seqs(heard: Heard) -> list[int]:
    return [record.seq for message in heard.events for record in records.decode_records(message)]


async def _logged(floor: Shopfloor, after: int) -> list[EventRecord]:
    """The log, from its table, as it should be published."""
    rows = await floor.pool.fetch(
        "SELECT seq, type, subject, command_id, actor, occurred_at, data::text FROM events WHERE seq > $1 ORDER BY seq",
        after,
    )
    return [
        EventRecord(
            seq, kind, subject, command_id, actor, records.microseconds(occurred_at), msgspec.Raw(data.encode())
        )
        for seq, kind, subject, command_id, actor, occurred_at, data in rows
    ]
