"""The feed: workers tell gateways of events as soon as they are committed, over Redis pub/sub. Gateways listen through
broadcaster. The feed is fast but may lose messages; readers that need all events read the log. It promises that a
listener survives the loss of Redis, and is told when messages may have been lost. broadcaster's own Redis backend is
not used, because its queue is unbounded, and its listener dies silently when the connection breaks; custom backends are
its documented extension point. Publishing bypasses broadcaster, which sends one message per round trip.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final

from broadcaster import Broadcast, BroadcastBackend, Event
from redis.asyncio import Redis
from redis.exceptions import RedisError

from runtime import tracing
from runtime.redis_client import REDIS_UNAVAILABLE, as_far_as_possible, connect, database_number
from runtime.redis_pipeline import Pipeline

EVENTS_CHANNEL: Final = "events"

_PING_SECONDS: Final = 1.0
_RECONNECT_SECONDS: Final = 0.2

_log = logging.getLogger(__name__)


class FeedBackend(BroadcastBackend):
    """Redis pub/sub that reconnects by itself, subscribes again, and reports it through `on_reconnect`. Nothing is
    queued here: a message is read from the socket once the previous one has been handed on.
    """

    def __init__(self, redis_url: str, on_reconnect: Callable[[], None]) -> None:
        self._client = connect(redis_url, answer_timeout=None)
        self._prefix = _prefix(self._client)
        self._pubsub = self._client.pubsub()
        self._on_reconnect = on_reconnect
        self._channels: set[str] = set()
        self._subscribed = asyncio.Event()
        self._lost = False
        self._pinged = False

    async def connect(self) -> None:
        """Does nothing: redis-py connects at the first subscription."""

    async def disconnect(self) -> None:
        with suppress(RedisError, OSError):
            await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # the library has no types here
        await self._client.aclose()

    async def subscribe(self, group: str) -> None:
        group = self._prefix + group
        self._channels.add(group)
        if not self._lost:  # otherwise the listener subscribes to it when Redis is back
            try:
                await self._pubsub.subscribe(group)
            except REDIS_UNAVAILABLE as error:
                _log.warning("the feed waits for Redis (%s)", error)
                self._lost = True
        self._subscribed.set()

    async def unsubscribe(self, group: str) -> None:
        group = self._prefix + group
        self._channels.discard(group)
        with suppress(*REDIS_UNAVAILABLE):
            await self._pubsub.unsubscribe(group)

    async def publish(self, channel: str, message: Any) -> None:
        raise NotImplementedError("this side of the feed only listens; see Publisher")

    async def next_published(self) -> Event:
        await self._subscribed.wait()
        while True:
            if self._lost:
                await self._subscribe_again()
            try:
                message = await self._next_message()
                if message is not None:
                    channel = message["channel"].decode().removeprefix(self._prefix)
                    return Event(channel=channel, message=message["data"].decode())
            except REDIS_UNAVAILABLE as error:
                _log.warning("the feed lost Redis (%s); subscribing again", error)
                self._lost = True
            except Exception:  # broadcaster's listener would end for good, silently
                _log.exception("the feed failed; subscribing again")
                self._lost = True

    async def _next_message(self) -> Any:
        """The next message, or None after a quiet period. A peer that does not answer a ping counts as lost."""
        message = await self._pubsub.get_message(ignore_subscribe_messages=False, timeout=_PING_SECONDS)
        if message is not None:
            self._pinged = False
            return message if message["type"] == "message" else None
        if self._pinged:
            raise TimeoutError("no answer to a ping")
        self._pinged = True
        await self._pubsub.ping()
        return None

    async def _subscribe_again(self) -> None:
        self._pinged = False
        while self._lost:
            await asyncio.sleep(_RECONNECT_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter
            with suppress(*REDIS_UNAVAILABLE):
                await self._pubsub.aclose()  # type: ignore[no-untyped-call]  # the library has no types here
                self._pubsub = self._client.pubsub()
                channels = set(self._channels)
                if channels:
                    await self._pubsub.subscribe(*channels)
                self._lost = channels != self._channels  # one may have been added meanwhile
        self._on_reconnect()


class Listener:
    """Listens to a fixed set of channels from start to stop, handing each message to its handler in order.

    Handlers are quick synchronous functions that only pass things on. Channels are subscribed to once, one after
    another, because in broadcaster two concurrent first subscribers of a channel overwrite each other.
    """

    def __init__(
        self, redis_url: str, handlers: Mapping[str, Callable[[str], None]], on_reconnect: Callable[[], None]
    ) -> None:
        self._broadcast = Broadcast(backend=FeedBackend(redis_url, on_reconnect))
        self._handlers = handlers
        self._stack = AsyncExitStack()
        self._pumps: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self._stack.enter_async_context(self._broadcast)
        for channel, handler in self._handlers.items():
            subscriber = await self._stack.enter_async_context(self._broadcast.subscribe(channel))
            self._pumps.append(asyncio.create_task(self._pump(subscriber, handler)))

    async def stop(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        with suppress(asyncio.CancelledError):
            await self._stack.aclose()

    @staticmethod
    async def _pump(subscriber: Any, handler: Callable[[str], None]) -> None:
        async for event in subscriber:
            try:
                handler(event.message)
            except Exception:
                _log.exception("a message of the feed could not be handled")


class Publisher:
    """Publishes to the feed. Messages that cannot be published now are dropped: listeners will find their events in the
    log."""

    def __init__(self, redis_url: str) -> None:
        self._client = connect(redis_url)
        self._prefix = _prefix(self._client)
        self._publishing: asyncio.Task[None] | None = None

    async def publish(
        self, messages: Iterable[tuple[str, str]], *, first: Callable[[Pipeline], None] | None = None
    ) -> None:
        """Publishes (channel, message) pairs in order, in one round trip, and after everything published earlier.
        `first` adds commands that Redis must execute before anyone receives them. Returns once they are on their way:
        publishers need not know that they arrived."""
        pipeline = self._client.pipeline(transaction=False)
        if first is not None:
            first(pipeline)
        for channel, message in messages:
            pipeline.publish(self._prefix + channel, message)
        await self.flush()  # one round trip at a time, which bounds them and keeps their order
        self._publishing = asyncio.create_task(self._send(pipeline))

    async def _send(self, pipeline: Pipeline) -> None:
        try:
            with tracing.span("publish feed", "producer", messaging__system="redis"):
                await as_far_as_possible(pipeline)
        except (RedisError, OSError) as error:  # their events are committed: an error here must not deny that
            _log.warning("results not published (%s); gateways read the log", error)
        finally:
            self._publishing = None

    async def flush(self) -> None:
        """Waits for the messages on their way."""
        while self._publishing is not None:
            await asyncio.wait([self._publishing])

    async def close(self) -> None:
        await self.flush()
        await self._client.aclose()


def _prefix(client: Redis) -> str:
    """Pub/sub ignores database numbers: without this, two shops on one Redis would receive each other's messages."""
    return f"{database_number(client)}:"
