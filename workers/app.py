"""Sets up a worker process: the broker, its tasks, and what they need.

`python -m workers` runs it; `workers.schedule` requests the sweep.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from taskiq import TaskiqEvents, TaskiqState

from runtime import garbage, logs, tracing
from runtime.activation import BACKGROUND, DRAIN_TASK, SWEEP_TASK, TEND_TASK, ActivationBroker, activate, kick
from runtime.database import LOST_CONNECTION, create_batch_pool
from runtime.delivering.registry import delivery_provider_in
from runtime.feed import Publisher
from runtime.heartbeat import Heartbeat
from runtime.mailboxes.inbox import Inbox
from runtime.mailboxes.rejoin import rejoin
from runtime.metrics import BATCH_RETRIES, BATCHES_IN_PROGRESS, PROCESSES_STOPPING, SWEEPS
from runtime.pools import sample_pool
from runtime.redis_client import REDIS_UNAVAILABLE, connect
from runtime.settings import Settings, settings
from runtime.taxing.registry import tax_provider_in
from workers.apply import Applier
from workers.drain import APART_MAX_BATCHES, Drainer
from workers.overdue import end_overdue
from workers.scraped import metrics_port

if TYPE_CHECKING:
    from runtime.scraping import MetricsPort

_RETRY_SECONDS: Final = 0.2
# How much of the time to stop is kept for closing connections.
_CLOSE_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Worker:
    """The tasks of one worker process: `drain` the mailboxes, and `sweep` for missed ones."""

    def __init__(self, config: Settings, broker: ActivationBroker) -> None:
        self._config = config
        self._broker = broker
        self._background = ActivationBroker(config.redis_url, BACKGROUND)
        self._inbox: Inbox
        self._drainer: Drainer
        self._pool: asyncpg.Pool[Any]
        self._shift: asyncio.Task[None] | None = None
        self._metrics_port: MetricsPort | None = None
        self._heartbeat = Heartbeat("worker", self._sample)

    async def start(self, state: TaskiqState) -> None:
        garbage.calm()
        tracing.start("tidegate-worker")
        config = self._config
        self._redis = connect(config.redis_url)
        self._publisher = Publisher(config.redis_url)
        self._pool = await create_batch_pool(
            config.database_url,
            size=config.batch_concurrency + APART_MAX_BATCHES + 1,
            batch_max_seconds=config.batch_max_seconds,
        )
        self._inbox = Inbox(
            self._redis, awake_milliseconds=config.awake_milliseconds, read_max_bytes=config.batch_max_bytes
        )
        self._drainer = Drainer(
            Applier(
                self._pool,
                self._publisher,
                self._inbox.fence,
                tax_provider=tax_provider_in(config),
                delivery_provider=delivery_provider_in(config),
            ),
            self._inbox,
            batch_max_commands=config.batch_max_commands,
            batch_concurrency=config.batch_concurrency,
            linger_milliseconds=config.linger_milliseconds,
            awake_milliseconds=config.awake_milliseconds,
            ask_for_help=self._ask_for_help,  # also for those on other machines
        )
        self._heartbeat.start()
        self._metrics_port = metrics_port(config)

    def _sample(self) -> None:
        sample_pool("batches", self._pool)
        BATCHES_IN_PROGRESS.set(self._drainer.in_progress)

    async def stop(self, state: TaskiqState) -> None:
        """Gives the batches in progress time to finish; commands not applied by then stay in their mailboxes."""
        PROCESSES_STOPPING.labels("worker").set(1)
        self._drainer.stop()
        if self._shift is not None:
            await asyncio.wait([self._shift], timeout=self._config.stop_seconds - _CLOSE_SECONDS)
            self._shift.cancel()
        self._heartbeat.stop()
        if self._metrics_port is not None:
            await self._metrics_port.stop()
        self._pool.terminate()
        await self._publisher.close()
        await self._background.shutdown()
        await self._redis.aclose()
        await tracing.stop()

    def drain(self, mailbox: int) -> None:
        """Starts draining the mailboxes, if this process is not doing so already."""
        self._drainer.call([mailbox])
        if self._shift is None or self._shift.done():
            self._shift = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        """Drains the mailboxes. After a failure (a connection is lost, the disk is full) the sweep requests it again; a
        short pause here keeps the retries apart. If woken in the meantime, it starts again."""
        while True:
            await self._try_to_drain()
            if not self._drainer.is_called or self._drainer.is_stopping:
                return

    async def _try_to_drain(self) -> None:
        try:
            await self._drainer.drain(range(self._config.mailbox_count))
        except (*LOST_CONNECTION, *REDIS_UNAVAILABLE, asyncpg.PostgresError) as error:
            BATCH_RETRIES.labels(
                "postgres_refused" if isinstance(error, asyncpg.PostgresError) else "connection_lost"
            ).inc()
            _log.warning("draining the mailboxes failed (%s: %s); it will be retried", type(error).__name__, error)
        except Exception:
            _log.exception("draining the mailboxes failed; it will be retried")
        else:
            return
        await asyncio.sleep(_RETRY_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter

    async def _ask_for_help(self) -> None:
        await activate(self._broker, 0)

    async def sweep(self) -> None:
        """Wakes every mailbox that has commands and no worker awake, even one beyond the current mailbox count; and
        activates the background processes."""
        await kick(self._background, TEND_TASK)
        try:
            await end_overdue(self._pool, self._config.batch_max_seconds)
            known = (await rejoin(self._pool, self._redis, self._inbox, range(self._config.mailbox_count))).mailboxes
        except (*LOST_CONNECTION, asyncpg.PostgresError) as error:
            _log.warning("cannot compare positions: Postgres is unavailable (%s)", type(error).__name__)
            known = []
        except REDIS_UNAVAILABLE:
            known = []
        try:
            for mailbox in await self._inbox.forgotten({*range(self._config.mailbox_count), *known}):
                if await self._inbox.wake(mailbox):
                    SWEEPS.inc()
                    await activate(self._broker, mailbox)
        except REDIS_UNAVAILABLE as error:
            _log.warning("cannot sweep: Redis is unavailable (%s)", error)


def create_broker() -> ActivationBroker:
    """The broker of a worker process, with its tasks."""
    config = settings()
    logs.configure(config.log_level, as_json=config.logs_json)
    broker = ActivationBroker(config.redis_url)
    worker = Worker(config, broker)
    broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, worker.start)
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, worker.stop)

    # Plain functions: taskiq renames what it registers, and methods cannot be renamed.
    @broker.task(task_name=DRAIN_TASK)
    async def drain(mailbox: int) -> None:
        worker.drain(mailbox)

    @broker.task(task_name=SWEEP_TASK)
    async def sweep() -> None:
        await worker.sweep()

    return broker
