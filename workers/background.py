"""Where a background process is put together: reactions to the log, and jobs. Apart from the actors, so that a receiver
that hangs, or a long report, takes nothing from them but a share of the machine.

`python -m workers workers.background:create_broker` runs it. Its tasks, like all, are only hints: whoever is due is
found again in Postgres, every second.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final
from uuid import UUID

from taskiq import TaskiqEvents, TaskiqState

from runtime import garbage, logs
from runtime.activation import BACKGROUND, JOB_TASK, REACT_TASK, TEND_TASK, ActivationBroker, kick
from runtime.database import create_batch_pool, create_job_pool
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings, settings
from workers.jobs.runner import Runner
from workers.reactions.core import Fixed, Tools
from workers.reactions.crew import Crew
from workers.reactions.delivery import Deliverer
from workers.reactions.expiry import Expiry
from workers.reactions.mail.reaction import Mail
from workers.reactions.webhooks import Webhooks
from workers.tidying import Tidier

# Its snapshot, its lease, and what it writes meanwhile.
_CONNECTIONS_PER_JOB: Final = 3


class Background:
    """The tasks of one background process, and what they stand on."""

    def __init__(self, config: Settings, broker: ActivationBroker) -> None:
        self._config = config
        self._broker = broker
        self._stack = AsyncExitStack()
        self._crew: Crew
        self._jobs: Runner
        self._tidier: Tidier

    async def start(self, state: TaskiqState) -> None:
        garbage.calm()
        config, stack = self._config, self._stack
        pool = await create_batch_pool(
            config.database_url, size=config.background_pool_size, batch_max_seconds=config.batch_max_seconds
        )
        stack.callback(pool.terminate)
        sender = await stack.enter_async_context(Sender(config))
        tools = Tools(config, pool, sender)
        self._tidier = Tidier(config, pool, sender)
        mail = Mail(tools)
        stack.push_async_callback(mail.close)
        deliverer = await stack.enter_async_context(Deliverer(config))
        self._crew = Crew(tools, self._broker, [Fixed(mail, Expiry(tools)), Webhooks(tools, deliverer)])
        stack.push_async_callback(self._crew.stop)
        await self._crew.start()
        job_pool = await create_job_pool(
            config.database_url,
            size=_CONNECTIONS_PER_JOB * config.job_concurrency,
            job_max_seconds=config.job_max_seconds,
        )
        stack.callback(job_pool.terminate)
        self._jobs = Runner(config, job_pool, sender, self._ask_for_job)
        stack.push_async_callback(self._jobs.stop)

    async def stop(self, state: TaskiqState) -> None:
        await self._stack.aclose()

    async def tend(self) -> None:
        """Finds whoever is due and asks for them."""
        await self._crew.tend()
        await self._jobs.tend()
        await self._tidier.tend()

    async def react(self, name: str) -> None:
        """Takes a reaction further."""
        await self._crew.react(name)

    async def run_job(self, job_id: str) -> None:
        """Does a job, if nobody else is at it."""
        await self._jobs.run(UUID(job_id))

    async def _ask_for_job(self, job_id: UUID) -> None:
        await kick(self._broker, JOB_TASK, str(job_id))


def create_broker() -> ActivationBroker:
    """The broker with its tasks, as a background process runs it."""
    config = settings()
    logs.configure(config.log_level, as_json=config.mode == "production")
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

    @broker.task(task_name=JOB_TASK)
    async def run_job(job_id: str) -> None:
        await background.run_job(job_id)

    return broker
