"""Activations: the Taskiq messages that say "drain mailbox m", and the broker they travel by.

An activation is only a hint. It may get lost or come twice: the mailbox holds the commands, the position row guards
them, and the sweep wakes whoever was forgotten. So the simplest broker serves: a Redis list, taken from on receipt.

taskiq-redis's own `listen` ends for good at the first broken connection (it waits for the built-in ConnectionError,
which redis-py's is not), and its blocking read runs into redis-py's socket timeout: both are mended here.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from typing import Final

from taskiq import BrokerMessage
from taskiq.kicker import AsyncKicker
from taskiq_redis import ListQueueBroker

from runtime.redis_client import (
    ANSWER_TIMEOUT_SECONDS,
    CONNECT_TIMEOUT_SECONDS,
    NO_MAINTENANCE_NOTIFICATIONS,
    REDIS_UNAVAILABLE,
)

DRAIN_TASK: Final = "tidegate.drain"
SWEEP_TASK: Final = "tidegate.sweep"
_QUEUE: Final = "activations"
_RECONNECT_SECONDS: Final = 0.2

_log = logging.getLogger(__name__)


class ActivationBroker(ListQueueBroker):
    """A Redis list of activations; sending and listening survive the loss of Redis."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(
            redis_url,
            queue_name=_QUEUE,
            socket_timeout=None,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_keepalive=True,
            maint_notifications_config=NO_MAINTENANCE_NOTIFICATIONS,
        )

    async def kick(self, message: BrokerMessage) -> None:
        """Sends an activation. When Redis is away it is dropped: the sweep asks again every second."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_SECONDS):
                await super().kick(message)
        except REDIS_UNAVAILABLE as error:
            _log.warning("an activation was not sent, Redis is away (%s)", error)

    async def listen(self) -> AsyncGenerator[bytes, None]:
        while True:
            try:
                async for message in super().listen():
                    yield message
            except REDIS_UNAVAILABLE as error:
                _log.warning("no activations, Redis is away (%s); trying again", error)
                await asyncio.sleep(_RECONNECT_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter


async def activate(broker: ActivationBroker, mailbox: int) -> None:
    """Asks some worker to drain `mailbox`."""
    kicker: AsyncKicker[[int], None] = AsyncKicker(task_name=DRAIN_TASK, broker=broker, labels={})
    await kicker.kiq(mailbox)
