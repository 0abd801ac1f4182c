"""Waits for the mailboxes of a cluster. No command can block on streams of several slots, so there is one for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError

from runtime.mailboxes.redis_keys import stream_key
from runtime.redis_pipeline import Client


class Watch:
    """Blocking reads, at most one per mailbox. When one sees an entry, the others are left to time out, and reused
    until then: cancelling them would cost their connections."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: dict[int, tuple[str, asyncio.Task[bool | None]]] = {}

    async def wait(self, positions: Mapping[int, str], milliseconds: int) -> None:
        """Returns when there is an entry after one of the positions, when the time is up, or when no node can be
        asked."""
        until = time.monotonic() + milliseconds / 1000
        unavailable: set[int] = set()
        while (left := until - time.monotonic()) > 0:
            tasks = {self._task(m, p, milliseconds): m for m, p in positions.items() if m not in unavailable}
            if not tasks:
                return
            ended, _ = await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                del self._waiting[tasks[task]]
                if task.result() is None:
                    unavailable.add(tasks[task])
            if any(task.result() for task in ended):
                return

    def _task(self, mailbox: int, position: str, milliseconds: int) -> asyncio.Task[bool | None]:
        before, task = self._waiting.get(mailbox, (None, None))
        if task is None or before != position:
            task = asyncio.create_task(self._sees(mailbox, position, milliseconds))
            self._waiting[mailbox] = position, task
        return task

    async def _sees(self, mailbox: int, position: str, milliseconds: int) -> bool | None:
        """Whether an entry arrived; None if the node could not be asked."""
        try:
            found: Any = await self._client.xread({stream_key(mailbox): position}, count=1, block=milliseconds)
        except (RedisError, OSError):
            return None
        return bool(found)
