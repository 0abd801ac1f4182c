"""The composition root of one gateway process: everything the routes use, built once at start-up."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Final, Self

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.catalogue.cache import CatalogueCache
from gateway.identity.api_keys import ApiKeys
from gateway.identity.authenticator import Authenticator
from gateway.identity.buyers import Buyers, identity_key
from gateway.identity.development import say_what_is_refused
from gateway.identity.hashing import Passwords
from gateway.identity.revocations import Revocations
from gateway.identity.throttle import Throttle
from gateway.limits.buckets import ANSWER_SECONDS, Buckets
from gateway.limits.requests import Limits
from gateway.realtime.hub import Hub
from gateway.realtime.parts import Parts
from gateway.realtime.places import Places
from gateway.realtime.sockets import Sockets
from gateway.realtime.statistics.stats import Statistics
from gateway.realtime.tail import Tail
from gateway.realtime.turns import Turns
from gateway.server.scraping import scraper
from gateway.server.stopping import Stopping
from gateway.views.quoting import Quoting
from gateway.web.exporting import Exports
from gateway.web.reads import Reads
from gateway.writing.answers import Answers
from gateway.writing.backlog import Backlog
from gateway.writing.happening import Happenings
from gateway.writing.submit import Submitter
from gateway.writing.uploads import Uploads
from gateway.writing.waiting import Waiters
from runtime.activation import ActivationBroker, activate
from runtime.delivering.registry import delivery_provider_in
from runtime.engine import create_engine
from runtime.feed import EVENTS_CHANNEL, Listener
from runtime.gift_card_codes import CardCodes
from runtime.heartbeat import Heartbeat
from runtime.mailboxes.fence import confirm
from runtime.mailboxes.inbox import Inbox
from runtime.mailboxes.post import Poster
from runtime.metrics import ACCEPT_DURABLE, PASSWORDS_ASKED, POST_QUEUED, WAITS_OPEN
from runtime.payments.registry import Providers
from runtime.pools import sample_engine
from runtime.redis_client import REDIS_UNAVAILABLE, connect, is_durable
from runtime.redis_cluster import Cluster
from runtime.redis_pipeline import Copies
from runtime.replica import Place, Replica
from runtime.settings import Settings
from runtime.signing_keys import key_ring
from runtime.taxing.registry import tax_provider_in

_log = logging.getLogger(__name__)

_CHECK_AGAIN_SECONDS: Final = 1.0

# How long start-up waits for revocations to be loaded: not forever, since orders can be accepted without Postgres.
_LEARN_SECONDS: Final = 2.0


class Edge:
    """The parts of the process. As a context manager it is the process's lifespan: it starts without Redis and
    Postgres, and at its end closes everything, even if closing some parts fails."""

    def __init__(self, config: Settings) -> None:
        """Builds the parts; nothing is connected or running yet."""
        self.config = config
        self._open = AsyncExitStack()
        self.redis = connect(config.redis_url)
        self._tasks: list[asyncio.Task[None]] = []
        self._checking: asyncio.Task[None] | None = None
        self.engine = _engine(config, config.database_url, config.database_pool_size)
        self._replica = _replica(config, self._known_of_the_log)
        self.reads = Reads(
            self.engine, self._replica, seen=lambda: self.tail.seq, wait_seconds=config.read_wait_seconds
        )
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
        self._limits_redis = connect(config.redis_url, answer_timeout=ANSWER_SECONDS)
        self.buckets = Buckets(self._limits_redis)
        self.limits = Limits(self.buckets, config)
        self.throttle = Throttle(self.redis, self.buckets, config)
        self.uploads = Uploads(
            self.engine,
            max_bytes=config.import_max_bytes,
            idle_seconds=config.import_idle_seconds,
            max_seconds=config.import_max_seconds,
            max_uploads=config.import_max_uploads,
        )
        self.exports = Exports(
            self.reads,
            max_concurrent=config.export_max_concurrent,
            max_seconds=config.export_max_seconds,
            stall_seconds=config.export_stall_seconds,
        )
        self.quoting = Quoting(
            identity_key(config),
            tax_provider=tax_provider_in(config),
            delivery_provider=delivery_provider_in(config),
        )
        self.buyers = Buyers(self.engine, identity_key(config))
        self.card_codes = CardCodes(config)
        self.waiters = Waiters(self.engine, max_requests=config.wait_max_requests)
        self.stopping = Stopping(notice_seconds=config.stop_notice_seconds, at_close=self._end_waits)
        self.tail = Tail(self.engine, silence_seconds=config.silence_seconds, confirm=partial(confirm, self.redis))
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
        self.scraper = scraper(self.engine, self.redis, config)
        self.tail.watch(self.revocations.take)
        self.catalogue = CatalogueCache(
            max_bytes=config.catalogue_cache_max_bytes,
            level_seconds=2 * config.silence_seconds,
            level_at=lambda: self.tail.level_at,
            log_seq=lambda: self.tail.seq,
        )
        self.tail.watch(self.catalogue.take)
        self.happenings = Happenings(max_requests=config.wait_max_requests)
        self.tail.watch(self.happenings.take)
        self.tail.watch(self.buyers.take)
        self.revocations.watch(self.sockets.revoke)
        for resync in (
            self.sockets.resync,
            self.catalogue.restart,
            self.buyers.restart,
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
            mailbox_max_bytes=config.mailbox_max_bytes,
            queue_max_commands=config.post_queue_max_commands,
            awake_milliseconds=config.awake_milliseconds,
            idempotency_seconds=config.idempotency_seconds,
            idempotency_max_bytes=config.idempotency_max_bytes,
            copies=Copies(config.accept_min_replicas, config.accept_replicas_milliseconds),
        )
        self.backlog = Backlog(
            self.redis,
            mailbox_count=config.mailbox_count,
            max_seconds=config.order_wait_max_seconds,
            memory_max_percent=config.redis_memory_max_percent,
        )
        self.payments = Providers(config)
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
            self.redis,
            kept_seconds=config.idempotency_seconds,
            max_bytes=config.answer_kept_max_bytes,
            all_max_bytes=config.answers_kept_max_bytes,
        )
        self._listener = Listener(
            config.redis_url,
            {EVENTS_CHANNEL: self.tail.offer, reply_channel: self.waiters.deliver},
            on_reconnect=self._look_again,
        )

        self._heartbeat = Heartbeat("gateway", self._sample)

    async def __aenter__(self) -> Self:
        async with self._open:
            # Closed in reverse: first what produces work, last the connections that the work needs.
            for close in (
                self.engine.dispose,
                self.redis.aclose,
                self._limits_redis.aclose,
                self._broker.shutdown,
                self._listener.stop,
                self._poster.close,
                self.buckets.close,
            ):
                self._open.push_async_callback(close)
            if self._replica is not None:
                self._open.push_async_callback(self._replica.close)
            await self._open.enter_async_context(self.payments)
            self._open.callback(self._heartbeat.stop)
            self._open.callback(self.passwords.close)
            self._open.push_async_callback(self._api_keys.close)
            self._open.push_async_callback(self._stop_tasks)
            await self._start()
            self._open = self._open.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Raises what closing raised, if it failed for a part."""
        await self._open.aclose()

    async def _start(self) -> None:
        self._heartbeat.start()
        await self._listener.start()
        learning = asyncio.create_task(self.revocations.load(self.tail.watching))
        self._tasks += [
            learning,
            asyncio.create_task(self.tail.run()),
            asyncio.create_task(self.buyers.run(self.tail.watching)),
            asyncio.create_task(self.sockets.run()),
            asyncio.create_task(self.stats.run()),
            asyncio.create_task(self.backlog.run()),
            asyncio.create_task(self.waiters.run(self.config.silence_seconds)),
        ]
        if self._replica is not None:
            self._tasks.append(asyncio.create_task(self._replica.run()))
        if self.config.mode == "production":
            self._tasks.append(asyncio.create_task(say_what_is_refused(self.engine)))
        await asyncio.wait([learning], timeout=_LEARN_SECONDS)
        if not await self._check_durability():
            self._check_soon()

    def _sample(self) -> None:
        sample_engine("views", self.engine)
        if self._replica is not None:
            sample_engine("replica", self._replica.engine)
        POST_QUEUED.set(self._poster.queued)
        WAITS_OPEN.set(self.waiters.open)
        PASSWORDS_ASKED.set(self.passwords.in_progress)

    def _end_waits(self) -> None:
        self.waiters.stop()
        self.happenings.stop()

    def _known_of_the_log(self) -> Place:
        branches = self.tail.branches
        return Place(self.tail.seq, branches.identity if branches else None)

    def _learn_revocations(self) -> None:
        """The log was replaced: loads the revocations of the new one."""
        self._tasks.append(asyncio.create_task(self.revocations.load(self.tail.watching)))

    def _look_again(self) -> None:
        """Redis was unavailable: outcomes and events may have been missed, and it may be a different Redis now."""
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
        """Asks until Redis answers: it may have been unavailable only for a moment."""
        while not await self._check_durability():
            await asyncio.sleep(_CHECK_AGAIN_SECONDS)

    async def _check_durability(self) -> bool:
        """Logs an error if Redis is less durable than a 202 promises. Returns whether Redis could be asked."""
        try:
            durable = await is_durable(self.redis)
        except REDIS_UNAVAILABLE as error:
            _log.error("Redis cannot be reached (%s): whether accepted commands are durable is unknown", error)
            ACCEPT_DURABLE.set(0)
            return False
        if durable is None:
            _log.warning("Redis does not say whether it keeps commands on disk; a 202 may promise too much")
        elif not durable:
            _log.error(
                "Redis is not set to `appendonly yes` and `appendfsync always`, or may evict streams: "
                "commands that were answered with a 202 can be lost when it stops"
            )
        if isinstance(self.redis, Cluster) and self.config.accept_min_replicas == 0:
            _log.error(
                "Redis is a cluster, and TIDEGATE_ACCEPT_MIN_REPLICAS is 0: commands that were answered with a 202 can "
                "be lost when a replica takes over"
            )
        ACCEPT_DURABLE.set(1 if durable else 0)
        return True


def _engine(config: Settings, database_url: str, pool_size: int) -> AsyncEngine:
    """The engine for views. Their few statements need no transaction around them, unless a pooler assigns connections
    by transaction."""
    keeps_statements = config.database_keeps_statements
    return create_engine(
        database_url, pool_size=pool_size, keeps_statements=keeps_statements, transactions=not keeps_statements
    )


def _replica(config: Settings, primary: Callable[[], Place]) -> Replica | None:
    """The replica that reads go to, if there is one."""
    if config.read_database_url is None:
        return None
    readers, scout = (_engine(config, config.read_database_url, size) for size in (config.database_pool_size, 1))
    return Replica(readers, scout, primary=primary, lag_max_seconds=config.read_lag_max_seconds)


def edge_of(request: Request) -> Edge:
    """The parts of this process."""
    edge: Edge = request.app.state["edge"]  # attribute access would take three times as long
    return edge
