"""Requests that wait for their command's outcome, and the reply channel it comes back by.

The channel may lose an outcome; Postgres does not. So who waits looks there before giving up, and everyone looks
when the feed says it was interrupted, or when it is silent for a while.
"""

import asyncio
import logging
from typing import Final
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.web.problems import Problem
from gateway.web.rawjson import as_text
from runtime import tables
from runtime.engine import VIEW_FAILED
from runtime.records import Outcome, decode_outcomes, microseconds

# So often Postgres is asked for the outcomes of repeated requests.
_LOOK_SECONDS: Final = 0.05

_log = logging.getLogger(__name__)


class _Wait:
    """One outcome that is waited for, by one request or by several that repeat each other."""

    def __init__(self) -> None:
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.requests = 0


class Waiters:
    """The outcomes this gateway process waits for, by command id."""

    def __init__(self, engine: AsyncEngine, *, max_requests: int) -> None:
        self._engine = engine
        self._max_requests = max_requests
        self._requests = 0
        self._waiting: dict[UUID, _Wait] = {}
        self._watched: set[UUID] = set()
        self._watching: asyncio.Task[None] | None = None
        self._looking: set[asyncio.Task[None]] = set()

    @property
    def has_room(self) -> bool:
        """Whether one more request may wait."""
        return self._requests < self._max_requests

    def expect(self, command_id: UUID) -> None:
        """Call before the command is posted, and `wait` or `forget` once for it: its outcome may be back before the
        answer of the post."""
        self._waiting.setdefault(command_id, _Wait()).requests += 1
        self._requests += 1

    def forget(self, command_id: UUID) -> None:
        """This request waits no more."""
        self._requests -= 1
        wait = self._waiting[command_id]
        wait.requests -= 1
        if wait.requests == 0:
            del self._waiting[command_id]
            self._watched.discard(command_id)

    async def wait(self, command_id: UUID, seconds: float) -> Outcome | None:
        """The outcome of an expected command, or None if it took longer."""
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(self._waiting[command_id].outcome)
        except TimeoutError:
            return await self.look_up(command_id)
        finally:
            self.forget(command_id)

    async def watch(self, command_id: UUID, seconds: float) -> Outcome | None:
        """The outcome of a command that another request posted, or None if it took longer. No reply comes for it
        here: one look into Postgres, again and again, serves all that is watched."""
        self.expect(command_id)
        self._watched.add(command_id)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch_all())
        return await self.wait(command_id, seconds)

    def deliver(self, message: str) -> None:
        """Takes a message of the reply channel."""
        for outcome in decode_outcomes(message):
            self._resolve(outcome)

    def look_again(self) -> None:
        """The feed was interrupted: outcomes may have been missed."""
        if self._waiting:
            task = asyncio.create_task(self._look_for(list(self._waiting)))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def run(self, silence_seconds: float) -> None:
        """Looks for those who have waited so long, again and again, until cancelled: an outcome is never sent when
        its worker, or Redis, dies between the commit and the message."""
        known: set[UUID] = set()
        while True:
            await asyncio.sleep(silence_seconds)
            overdue = [command_id for command_id in self._waiting if command_id in known]
            known = set(self._waiting)
            if overdue:
                await self._look_for(overdue)

    async def _watch_all(self) -> None:
        try:
            while self._watched:
                await self._look_for(list(self._watched))
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            self._watching = None

    async def look_up(self, command_id: UUID) -> Outcome | None:
        """The outcome as Postgres has it; None if there is none, or Postgres is away."""
        try:
            return next(iter(await self._read([command_id])), None)
        except VIEW_FAILED:
            return None

    async def is_applied(self, command_id: UUID) -> bool:
        """Whether the log has the command. Raises a 503 Problem if Postgres does not say."""
        query = select(exists().where(tables.commands.c.id == command_id))
        try:
            async with self._engine.connect() as connection:
                return bool(await connection.scalar(query))
        except VIEW_FAILED:
            raise Problem(
                "database_unavailable",
                "This idempotency key was used before; what became of the first request cannot be seen now.",
            ) from None

    async def _look_for(self, command_ids: list[UUID]) -> None:
        try:
            for outcome in await self._read(command_ids):
                self._resolve(outcome)
        except VIEW_FAILED as error:
            _log.warning("outcomes could not be looked up (%s)", type(error).__name__)
        except Exception:  # whoever waits must not wait in vain because of one that stumbles
            _log.exception("outcomes could not be looked up")

    def _resolve(self, outcome: Outcome) -> None:
        wait = self._waiting.get(outcome.command_id)
        if wait is not None and not wait.outcome.done():
            wait.outcome.set_result(outcome)
        self._watched.discard(outcome.command_id)

    async def _read(self, command_ids: list[UUID]) -> list[Outcome]:
        commands, events = tables.commands.c, tables.events.c
        query = (
            select(commands.id, commands.status, commands.seq, events.type, events.occurred_at, as_text(events.data))
            .join_from(tables.commands, tables.events, events.seq == commands.seq)
            .where(commands.id.in_(command_ids))
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(query)
        return [
            Outcome(command_id, status, seq, event_type, microseconds(occurred_at), data)
            for command_id, status, seq, event_type, occurred_at, data in rows
        ]
