"""Assembles a background process: reactions to the log, tasks, and the patrol that verifies the tables. It is separate
from the worker processes, so that a hanging receiver or a long report costs them nothing but a share of the machine.

`python -m workers workers.background:create_broker` runs it. Activations are only hints: every second, Postgres is
searched for what is due.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

import asyncpg
from taskiq import TaskiqEvents, TaskiqState

from runtime import garbage, logs, tracing
from runtime.activation import BACKGROUND, REACT_TASK, TEND_TASK, ActivationBroker
from runtime.database import create_batch_pool, create_job_pool
from runtime.delivering.registry import DeliveryProviders
from runtime.heartbeat import Heartbeat
from runtime.mailboxes.sender import Sender
from runtime.metrics import PROCESSES_STOPPING
from runtime.payments.registry import Providers
from runtime.pools import sample_pool
from runtime.settings import Settings, settings
from runtime.taxing.registry import TaxProviders
from workers import performers as performers  # registers what each kind of task does
from workers.headlines import Headlines
from workers.money_watch import MoneyWatch
from workers.partitioning import Partitioner, create_partition_pool
from workers.patrol.patrol import Patrol
from workers.reactions.core import Fixed, Tools
from workers.reactions.delivery import Deliverer
from workers.reactions.endpoints import Webhooks
from workers.reactions.expiry import Expiry
from workers.reactions.invoicing import Invoicing
from workers.reactions.issuing import Issuing
from workers.reactions.mail.reaction import Mail
from workers.reactions.supervisor import Supervisor
from workers.reactions.tax_reports import TaxReporting
from workers.scraped import metrics_port
from workers.tasks.dispatcher import Dispatcher, Lane
from workers.tasks.kinds import CALLS, ESTIMATES, JOBS, RATES
from workers.tasks.performing import Performer
from workers.tidying import Tidier

# For a job's snapshot, its lease, and its writes.
_CONNECTIONS_PER_JOB: Final = 3

# For one round of the patrol.
_ROUND_MAX_SECONDS: Final = 60.0


class Background:
    """The Taskiq tasks of one background process, and what they work with."""

    def __init__(self, config: Settings, broker: ActivationBroker) -> None:
        self._config = config
        self._broker = broker
        self._stack = AsyncExitStack()
        self._reactions: Supervisor
        self._tasks: Dispatcher
        self._tidier: Tidier
        self._partitioner: Partitioner
        self._money: MoneyWatch

    async def start(self, state: TaskiqState) -> None:
        garbage.calm()
        tracing.start("tidegate-background")
        self._stack.push_async_callback(tracing.stop)
        config, stack = self._config, self._stack
        pool = await create_batch_pool(
            config.database_url, size=config.background_pool_size, batch_max_seconds=config.batch_max_seconds
        )
        stack.callback(pool.terminate)
        job_pool = await create_job_pool(
            config.database_url,
            size=_CONNECTIONS_PER_JOB * config.job_concurrency,
            job_max_seconds=config.job_max_seconds,
        )
        stack.callback(job_pool.terminate)
        heartbeat = Heartbeat(
            "background", lambda: sample_pool("background", pool), lambda: sample_pool("jobs", job_pool)
        )
        stack.callback(heartbeat.stop)
        sender = await stack.enter_async_context(Sender(config))
        tools = Tools(config, pool, sender)
        self._tidier = Tidier(config, pool, job_pool, sender)
        partition_pool = await create_partition_pool(config.database_url)
        stack.callback(partition_pool.terminate)
        self._partitioner = Partitioner(config, partition_pool)
        self._money = MoneyWatch(pool)
        mail = Mail(tools)
        stack.push_async_callback(mail.close)
        deliverer = await stack.enter_async_context(Deliverer(config))
        fixed = Fixed(mail, Expiry(tools), Issuing(tools), Invoicing(tools))
        sources = (fixed, TaxReporting(tools), Webhooks(tools, deliverer))
        self._reactions = Supervisor(tools, self._broker, sources)
        providers = await stack.enter_async_context(Providers(config))
        tax_providers = await stack.enter_async_context(TaxProviders(config))
        delivery_providers = await stack.enter_async_context(DeliveryProviders(config))
        self._tasks = dispatcher(config, pool, job_pool, sender, providers, tax_providers, delivery_providers)
        stack.push_async_callback(self._tasks.stop)
        stack.push_async_callback(self._reactions.stop)
        await stack.enter_async_context(Headlines(config.redis_url, [self._reactions.hear, self._tasks.hear]))
        verify_pool = await create_job_pool(config.database_url, size=1, job_max_seconds=_ROUND_MAX_SECONDS)
        stack.callback(verify_pool.terminate)
        patrol = Patrol(config, verify_pool)
        stack.push_async_callback(patrol.stop)
        await self._reactions.start()
        self._tasks.start()
        patrol.start()
        heartbeat.start()
        if (port := metrics_port(config)) is not None:
            stack.push_async_callback(port.stop)

    async def stop(self, state: TaskiqState) -> None:
        PROCESSES_STOPPING.labels("background").set(1)
        await self._stack.aclose()

    async def tend(self) -> None:
        """Finds what is due."""
        await self._reactions.tend()
        await self._tasks.tend()
        await self._tidier.tend()
        await self._partitioner.tend()
        await self._money.tend()

    async def react(self, name: str) -> None:
        """Advances a reaction."""
        await self._reactions.react(name)


def dispatcher(
    config: Settings,
    pool: asyncpg.Pool[Any],
    job_pool: asyncpg.Pool[Any],
    sender: Sender,
    providers: Providers,
    tax_providers: TaxProviders,
    delivery_providers: DeliveryProviders,
) -> Dispatcher:
    """The lanes of a background process."""
    calling = Performer(config, pool, pool, sender, providers, tax_providers, delivery_providers)
    working = Performer(config, pool, job_pool, sender, providers, tax_providers, delivery_providers)
    return Dispatcher(
        [
            Lane(CALLS, calling, size=config.task_concurrency),
            Lane(ESTIMATES, calling, size=config.estimate_concurrency),
            Lane(RATES, calling, size=config.rate_concurrency),
            Lane(JOBS, working, size=config.job_concurrency),
        ]
    )


def create_broker() -> ActivationBroker:
    """The broker with its tasks, as a background process runs it."""
    config = settings()
    logs.configure(config.log_level, as_json=config.logs_json)
    broker = ActivationBroker(config.redis_url, BACKGROUND)
    background = Background(config, broker)
    broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, background.start)
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, background.stop)

    # Plain functions, because taskiq renames what it registers and methods cannot be renamed.
    @broker.task(task_name=TEND_TASK)
    async def tend() -> None:
        await background.tend()

    @broker.task(task_name=REACT_TASK)
    async def react(name: str) -> None:
        await background.react(name)

    return broker
