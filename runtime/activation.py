"""Activations: the Taskiq messages that say "drain mailbox m" or "continue that task", and their broker.

An activation is only a hint, and may be lost or delivered twice: the mailbox holds the commands, the position row
guards them, and the sweep wakes any mailbox that was missed. So the simplest broker is enough: a Redis list whose
messages are popped on receipt.

taskiq-redis's own `listen` ends for good at the first broken connection (it catches the built-in ConnectionError, which
redis-py's is not), blocks forever on a peer that vanished, and does not bound its list; all three are fixed here. In a
cluster the queue is several lists on different nodes, so that one node's loss leaves the others.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator
from typing import Any, Final

from taskiq import BrokerMessage
from taskiq.kicker import AsyncKicker
from taskiq_redis import ListQueueBroker

from runtime.redis_client import REDIS_UNAVAILABLE, always, connect
from runtime.redis_url import any_server

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
        super().__init__(any_server(redis_url), queue_name=queue)  # whose pool stays empty
        self._client = connect(redis_url)
        self._lists = self._client.spread(queue)

    async def shutdown(self) -> None:
        await super().shutdown()
        await self._client.aclose()

    async def kick(self, message: BrokerMessage) -> None:
        """Sends an activation. If Redis is unavailable or the list is full, one is dropped: the sweep sends another."""
        for name in random.sample(self._lists, len(self._lists)):
            try:
                pipeline = self._client.pipeline(transaction=False)
                always(pipeline, "LPUSH", name, message.message)
                pipeline.ltrim(name, 0, ACTIVATIONS_MAX - 1)
                await pipeline.execute()
            except REDIS_UNAVAILABLE as error:
                _log.warning("activation not sent: Redis is unavailable (%s)", error)
            else:
                return

    async def listen(self) -> AsyncGenerator[bytes, None]:
        received: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)
        listening = [asyncio.create_task(self._listen(name, received)) for name in self._lists]
        try:
            while True:
                yield await received.get()
        finally:
            for each in listening:
                each.cancel()
            await asyncio.gather(*listening, return_exceptions=True)

    async def _listen(self, name: str, received: asyncio.Queue[bytes]) -> None:
        while True:
            try:
                found: Any = await self._client.brpop([name], timeout=_BLOCK_SECONDS)
            except REDIS_UNAVAILABLE as error:
                _log.warning("cannot receive activations: Redis is unavailable (%s); retrying", error)
                await asyncio.sleep(_RECONNECT_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter
            else:
                if found:
                    await received.put(found[1])


async def activate(broker: ActivationBroker, mailbox: int) -> None:
    """Asks some worker to drain `mailbox`."""
    await kick(broker, DRAIN_TASK, mailbox)


async def kick(broker: ActivationBroker, task: str, *arguments: int | str) -> None:
    """Asks some process that listens on the broker's queue to run a task."""
    kicker: AsyncKicker[..., None] = AsyncKicker(task_name=task, broker=broker, labels={})
    await kicker.kiq(*arguments)
