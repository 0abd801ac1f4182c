"""Waits for the outcomes of many commands that were posted one by one, with one query for all of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final
from uuid import UUID

import asyncpg

from runtime.database import LOST_CONNECTION
from runtime.mailboxes.sender import NO_PROGRESS_SECONDS, Settled, read_outcomes

_POLL_SECONDS: Final = 0.02


class OutcomeWaiter:
    """Waits for the outcomes of one process's commands."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool
        self._waiting: dict[UUID, list[asyncio.Future[Settled]]] = {}
        self._polling: asyncio.Task[None] | None = None

    async def wait(self, command_id: UUID) -> Settled | None:
        """The command's outcome; None if there is none for NO_PROGRESS_SECONDS."""
        outcome: asyncio.Future[Settled] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(command_id, []).append(outcome)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            done, _ = await asyncio.wait([outcome], timeout=NO_PROGRESS_SECONDS)
        finally:
            self._forget(command_id, outcome)
        return outcome.result() if done else None

    def _forget(self, command_id: UUID, outcome: asyncio.Future[Settled]) -> None:
        waiting = self._waiting.get(command_id, [])
        if outcome in waiting:
            waiting.remove(outcome)
            if not waiting:
                del self._waiting[command_id]

    async def _poll(self) -> None:
        while self._waiting:
            asked = time.monotonic()
            try:
                found = await read_outcomes(self._pool, list(self._waiting))
            except (*LOST_CONNECTION, asyncpg.PostgresError):
                found = {}
            for command_id, settled in found.items():
                # Its waiters may all have been cancelled meanwhile.
                for outcome in self._waiting.pop(command_id, ()):
                    if not outcome.done():
                        outcome.set_result(settled)
            await asyncio.sleep(max(_POLL_SECONDS, 2 * (time.monotonic() - asked)))
