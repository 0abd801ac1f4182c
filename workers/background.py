"""Where a background process is put together: reactions to the log, and jobs. Apart from the actors, so that a receiver
that hangs, or a long report, takes nothing from them but a share of the machine.

`python -m workers workers.background:create_broker` runs it. Its tasks, like all, are only hints: whoever is due is
found again in Postgres, every second.
"""

from __future__ import annotations

from typing import Any

import asyncpg
from taskiq import TaskiqEvents, TaskiqState

from runtime import garbage, logs
from runtime.activation import BACKGROUND, TEND_TASK, ActivationBroker
from runtime.database import create_batch_pool
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings, settings


class Background:
    """What the tasks of one background process stand on."""

    def __init__(self, config: Settings, broker: ActivationBroker) -> None:
        self._config = config
        self._broker = broker
        self._pool: asyncpg.Pool[Any]
        self._sender: Sender

    async def start(self, state: TaskiqState) -> None:
        garbage.calm()
        config = self._config
        self._pool = await create_batch_pool(config.database_url, size=10, batch_max_seconds=config.batch_max_seconds)
        self._sender = Sender(config)

    async def stop(self, state: TaskiqState) -> None:
        self._pool.terminate()

    async def tend(self) -> None:
        """Finds whoever is due and asks for them."""


def create_broker() -> ActivationBroker:
    """The broker with its tasks, as a background process runs it."""
    config = settings()
    logs.configure(config.log_level, as_json=config.mode == "production")
    broker = ActivationBroker(config.redis_url, BACKGROUND)
    background = Background(config, broker)
    broker.add_event_handler(TaskiqEvents.WORKER_STARTUP, background.start)
    broker.add_event_handler(TaskiqEvents.WORKER_SHUTDOWN, background.stop)

    @broker.task(task_name=TEND_TASK)
    async def tend() -> None:
        await background.tend()

    return broker
