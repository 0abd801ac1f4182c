"""Activations: the Taskiq messages that say "drain mailbox m" or "continue that task", and their broker.

An activation is only a hint. It may be lost or delivered twice: the mailbox holds the commands, the position row guards
them, and the sweep wakes any mailbox that was missed. So the simplest broker is enough: a Redis list, popped on
receipt.

taskiq-redis's own `listen` ends for good at the first broken connection (it catches the built-in ConnectionError, which
redis-py's is not), blocks forever on a peer that vanished, and does not bound its list; all three are fixed here.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from typing import Any, Final

from redis.asyncio import Redis
from taskiq import BrokerMessage
from taskiq.kicker import AsyncKicker
from taskiq_redis import ListQueueBroker

from runtime.redis_client import (
    ANSWER_TIMEOUT_SECONDS,
    REDIS_UNAVAILABLE,
    BlockingPool,
    always,
    connection_options,
)

DRAIN_TASK: Final = "tidegate.drain"
SWEEP_TASK: Final = "tidegate.sweep"
TEND_TASK: Final = "tidegate.tend"
REACT_TASK: Final = "tidegate.react"
ACTORS: Final = "activations"
"""The queue of the worker processes: nothing slow may be in it."""
BACKGROUND: Final = "background"
"""The queue of the background processes: reactions and tasks."""
_BLOCK_SECONDS: Final = 1
_RECONNECT_SECONDS: Final = 0.2

# More than all mailboxes together can need; the oldest hints are dropped first.
ACTIVATIONS_MAX: Final = 8_192

_log = logging.getLogger(__name__)


class ActivationBroker(ListQueueBroker):
    """A Redis list of activations; sending and listening survive the loss of Redis."""

    def __init__(self, redis_url: str, queue: str = ACTORS) -> None:
        super().__init__(redis_url, queue_name=queue)
        # Replaces the pool it has just created: ours never hands out dead connections.
        self.connection_pool = BlockingPool.from_url(
            redis_url, socket_timeout=ANSWER_TIMEOUT_SECONDS, **connection_options()
        )

    async def kick(self, message: BrokerMessage) -> None:
        """Sends an activation. If Redis is unavailable or the list is full, one is dropped: the sweep sends another."""
        try:
            async with Redis(connection_pool=self.connection_pool) as client:
                pipeline = client.pipeline(transaction=False)
                always(pipeline, "LPUSH", self.queue_name, message.message)
                pipeline.ltrim(self.queue_name, 0, ACTIVATIONS_MAX - 1)
                await pipeline.execute()
        except REDIS_UNAVAILABLE as error:
            _log.warning("activation not sent: Redis is unavailable (%s)", error)

    async def listen(self) -> AsyncGenerator[bytes, None]:
        while True:
            try:
                async with Redis(connection_pool=self.connection_pool) as client:
                    found: Any = await client.brpop([self.queue_name], timeout=_BLOCK_SECONDS)
            except REDIS_UNAVAILABLE as error:
                _log.warning("cannot receive activations: Redis is unavailable (%s); retrying", error)
                await asyncio.sleep(_RECONNECT_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter
            else:
                if found:
                    yield found[1]


async def activate(broker: ActivationBroker, mailbox: int) -> None:
    """Asks some worker to drain `mailbox`."""
    await kick(broker, DRAIN_TASK, mailbox)


async def kick(broker: ActivationBroker, task: str, *arguments: int | str) -> None:
    """Asks some process that listens on the broker's queue to run a task."""
    kicker: AsyncKicker[..., None] = AsyncKicker(task_name=task, broker=broker, labels={})
    await kicker.kiq(*arguments)
