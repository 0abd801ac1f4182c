"""The composition root of one gateway process: everything the routes use, built once at start-up."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import AsyncExitStack
from typing import Final, Self

from fastapi import Request
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.catalogue.cache import CatalogueCache
from gateway.identity.api_keys import ApiKeys
from gateway.identity.authenticator import Authenticator
from gateway.identity.development import say_what_is_refused
from gateway.identity.hashing import Passwords
from gateway.identity.revocations import Revocations
from gateway.identity.throttle import Throttle
from gateway.realtime.hub import Hub
from gateway.realtime.parts import Parts
from gateway.realtime.places import Places
from gateway.realtime.sockets import Sockets
from gateway.realtime.statistics.stats import Statistics
from gateway.realtime.tail import Tail
from gateway.realtime.turns import Turns
from gateway.server.scraping import Scraper
from gateway.web.exporting import Exports
from gateway.writing.answers import Answers
from gateway.writing.backlog import Backlog
from gateway.writing.submit import Submitter
from gateway.writing.uploads import Uploads
from gateway.writing.waiting import Waiters
from runtime.activation import ActivationBroker, activate
from runtime.engine import create_engine
from runtime.feed import EVENTS_CHANNEL, Listener
from runtime.mailboxes.inbox import Inbox
from runtime.mailboxes.post import Poster
from runtime.metrics import ACCEPT_DURABLE
from runtime.redis_client import REDIS_UNAVAILABLE, connect, is_durable
from runtime.settings import Settings
from runtime.signing_keys import key_ring

_log = logging.getLogger(__name__)

_CHECK_AGAIN_SECONDS: Final = 1.0


class Edge:
    """The parts, by name. As a context manager it is the process's lifespan: neither Redis nor Postgres need be there
    when it begins, and at its end everything is closed, whatever fails to."""

    def __init__(self, config: Settings) -> None:
        """Builds the parts; nothing is connected or running yet."""
        self.config = config
        self._open = AsyncExitStack()
        self.redis: Redis = connect(config.redis_url)
        self._tasks: list[asyncio.Task[None]] = []
        self._checking: asyncio.Task[None] | None = None
        self.engine: AsyncEngine = create_engine(config.database_url, pool_size=config.database_pool_size)
        self.keys = key_ring(config)
        self.revocations = Revocations(self.engine, token_seconds=config.access_token_seconds)
        self._api_keys = ApiKeys(
            self.engine,
            self.revocations,
            development=config.mode == "development",
            trusted_seconds=config.access_token_seconds,
            cache_max_entries=config.token_cache_max_entries,
        )
        self.authenticator = Authenticator(
            self.keys, self.revocations, self._api_keys, cache_max_entries=config.token_cache_max_entries
        )
        self.passwords = Passwords(concurrency=config.password_concurrency, queue_max=config.password_queue_max)
        self.throttle = Throttle(self.redis, config)
        self.uploads = Uploads(
            self.engine,
            max_bytes=config.import_max_bytes,
            idle_seconds=config.import_idle_seconds,
            max_seconds=config.import_max_seconds,
            max_uploads=config.import_max_uploads,
        )
        self.exports = Exports(
            self.engine,
            max_concurrent=config.export_max_concurrent,
            max_seconds=config.export_max_seconds,
            stall_seconds=config.export_stall_seconds,
        )
        self.waiters = Waiters(self.engine, max_requests=config.wait_max_requests)
        self.tail = Tail(self.engine, silence_seconds=config.silence_seconds)
        self.hub = Hub(
            self.engine,
            self.tail,
            Turns(
                replays_max=config.replays_max,
                replays_max_per_principal=config.replays_max_per_principal,
                events_per_second=config.replay_events_per_second,
            ),
        )
        self.stats = Statistics(self.engine, self.redis, self.tail, mailbox_count=config.mailbox_count)
        self.sockets = Sockets(
            Parts(config, self.engine, self.authenticator, self.tail, self.hub, self.stats, Places(config))
        )
        self.scraper = Scraper(self.engine, self.redis, config)
        self.tail.watch(self.revocations.take)
        self.catalogue = CatalogueCache(
            max_bytes=config.catalogue_cache_max_bytes,
            level_seconds=2 * config.silence_seconds,
            level_at=lambda: self.tail.level_at,
        )
        self.tail.watch(self.catalogue.take)
        self.revocations.watch(self.sockets.revoke)
        for resync in (
            self.sockets.resync,
            self.catalogue.empty,
            self.stats.resync,
            self._learn_revocations,
        ):
            self.tail.watch_resync(resync)
        self._broker = ActivationBroker(config.redis_url)
        self.inbox = Inbox(
            self.redis, awake_milliseconds=config.awake_milliseconds, read_max_bytes=config.batch_max_bytes
        )
        self._poster = Poster(
            self.redis,
            self._wake,
            mailbox_max_commands=config.mailbox_max_commands,
            queue_max_commands=config.post_queue_max_commands,
            awake_milliseconds=config.awake_milliseconds,
            idempotency_seconds=config.idempotency_seconds,
        )
        self.backlog = Backlog(
            self.redis,
            mailbox_count=config.mailbox_count,
            max_seconds=config.order_wait_max_seconds,
            memory_max_percent=config.redis_memory_max_percent,
        )
        reply_channel = f"replies:{uuid.uuid4().hex}"
        self.submitter = Submitter(
            self._poster,
            self.waiters,
            self.backlog,
            reply_channel=reply_channel,
            mailbox_count=config.mailbox_count,
            wait_max_seconds=config.wait_max_seconds,
            development=config.mode == "development",
        )
        self.answers = Answers(
            self.redis, kept_seconds=config.idempotency_seconds, max_bytes=config.answer_kept_max_bytes
        )
        self._listener = Listener(
            config.redis_url,
            {EVENTS_CHANNEL: self.tail.offer, reply_channel: self.waiters.deliver},
            on_reconnect=self._look_again,
        )

    async def __aenter__(self) -> Self:
        async with self._open:
            # Closed in reverse: first what produces work, last the connections that the work needs.
            for close in (
                self.engine.dispose,
                self.redis.aclose,
                self._broker.shutdown,
                self._listener.stop,
                self._poster.close,
            ):
                self._open.push_async_callback(close)
            self._open.callback(self.passwords.close)
            self._open.push_async_callback(self._api_keys.close)
            self._open.push_async_callback(self._stop_tasks)
            await self._start()
            self._open = self._open.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Raises what the last of the parts raised that could not be closed."""
        await self._open.aclose()

    async def _start(self) -> None:
        await self._listener.start()
        self._tasks += [
            asyncio.create_task(self.tail.run()),
            asyncio.create_task(self.sockets.run()),
            asyncio.create_task(self.stats.run()),
            asyncio.create_task(self.backlog.run()),
            asyncio.create_task(self.revocations.load(self.tail.watching)),
            asyncio.create_task(self.waiters.run(self.config.silence_seconds)),
        ]
        if self.config.mode == "production":
            self._tasks.append(asyncio.create_task(say_what_is_refused(self.engine)))
        if not await self._check_durability():
            self._check_soon()

    def _learn_revocations(self) -> None:
        """The log was replaced by another one: loads what was revoked in that."""
        self._tasks.append(asyncio.create_task(self.revocations.load(self.tail.watching)))

    def _look_again(self) -> None:
        """Redis was away: outcomes and events may have been missed, and it may not be the Redis it was."""
        self.waiters.look_again()
        self.tail.look_again()
        self._check_soon()

    def _check_soon(self) -> None:
        if self._checking is not None:
            self._checking.cancel()
        self._checking = asyncio.create_task(self._check_until_known())

    async def _stop_tasks(self) -> None:
        running = [*self._tasks, *filter(None, [self._checking])]
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _wake(self, mailbox: int) -> None:
        await activate(self._broker, mailbox)

    async def _check_until_known(self) -> None:
        """Redis may have been away only for a moment: asks until it answers."""
        while not await self._check_durability():
            await asyncio.sleep(_CHECK_AGAIN_SECONDS)

    async def _check_durability(self) -> bool:
        """Logs an error if a 202 would promise more than Redis keeps. Returns whether Redis could be asked."""
        try:
            durable = await is_durable(self.redis)
        except REDIS_UNAVAILABLE as error:
            _log.error("Redis cannot be reached (%s): it is not known whether accepted commands are durable", error)
            ACCEPT_DURABLE.set(0)
            return False
        if durable is None:
            _log.warning("Redis does not tell whether it keeps commands on disk; a 202 may promise too much")
        elif not durable:
            _log.error(
                "Redis is not set to `appendonly yes` and `appendfsync always`, or may evict streams: "
                "commands that were answered with a 202 can be lost when it stops"
            )
        ACCEPT_DURABLE.set(1 if durable else 0)
        return True


def edge_of(request: Request) -> Edge:
    """The parts of this process."""
    edge: Edge = request.app.state.edge
    return edge
