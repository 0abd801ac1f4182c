"""Requests that wait for their command's outcome, and the reply channel that brings it.

The channel may lose an outcome, but Postgres does not. So a request checks there before it gives up, and all requests
do so when the feed has been interrupted or silent for a while.
"""

import asyncio
import logging
from math import inf
from typing import Final, TypeAlias
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.web.problems import Problem
from gateway.web.rawjson import as_text
from runtime import tables
from runtime.engine import VIEW_FAILED
from runtime.records import Outcome, current, decode_outcomes, microseconds

# How often to ask Postgres for the outcomes of repeated requests.
_LOOK_SECONDS: Final = 0.05

# How much longer requests wait when their process ends: most outcomes arrive within this time.
_LAST_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


Expected: TypeAlias = "asyncio.Future[Outcome | None]"
"""The outcome that one request waits for; None when its time is up."""


def _give_up(expected: Expected) -> None:
    if not expected.done():
        expected.set_result(None)


class Waiters:
    """The outcomes that this gateway process waits for, by command id; repeated requests may wait for the same one."""

    def __init__(self, engine: AsyncEngine, *, max_requests: int) -> None:
        self._engine = engine
        self._max_requests = max_requests
        self._requests = 0
        self._longest_seconds = inf
        self._waiting: dict[UUID, list[Expected]] = {}
        self._watched: set[UUID] = set()
        self._watching: asyncio.Task[None] | None = None
        self._looking: set[asyncio.Task[None]] = set()

    @property
    def has_room(self) -> bool:
        """Whether another request may wait."""
        return self._requests < self._max_requests

    @property
    def open(self) -> int:
        """The number of waiting requests."""
        return self._requests

    def expect(self, command_id: UUID) -> Expected:
        """Registers a request. Call it before the command is posted, because the outcome may arrive before the post is
        acknowledged. `wait` or `forget` must follow."""
        expected: Expected = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(command_id, []).append(expected)
        self._requests += 1
        return expected

    def forget(self, command_id: UUID, expected: Expected) -> None:
        """Removes a request that no longer waits."""
        self._requests -= 1
        requests = self._waiting[command_id]
        requests.remove(expected)
        if not requests:
            del self._waiting[command_id]
            self._watched.discard(command_id)

    async def wait(self, command_id: UUID, expected: Expected, seconds: float) -> Outcome | None:
        """The outcome of an expected command, or None if it takes longer."""
        # A future and a timer of its own cost less than `asyncio.timeout` around `asyncio.shield`.
        timer = expected.get_loop().call_later(min(seconds, self._longest_seconds), _give_up, expected)
        try:
            outcome = await expected
            return await self.look_up(command_id) if outcome is None else outcome
        finally:
            timer.cancel()
            self.forget(command_id, expected)

    async def watch(self, command_id: UUID, seconds: float) -> Outcome | None:
        """The outcome of a command that another request posted, or None if it takes longer. Its reply goes elsewhere,
        so Postgres is polled, with one query for all watched commands."""
        expected = self.expect(command_id)
        self._watched.add(command_id)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch_all())
        return await self.wait(command_id, expected, seconds)

    def stop(self) -> None:
        """Shortens all waits, because the process ends: each request is told where to ask later."""
        self._longest_seconds = _LAST_SECONDS
        for requests in self._waiting.values():
            for expected in requests:
                expected.get_loop().call_later(_LAST_SECONDS, _give_up, expected)

    def deliver(self, message: str) -> None:
        """Handles a message of the reply channel."""
        for outcome in decode_outcomes(message):
            self._resolve(outcome)

    def look_again(self) -> None:
        """The feed was interrupted: outcomes may have been missed."""
        if self._waiting:
            task = asyncio.create_task(self._look_for(list(self._waiting)))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

    async def run(self, silence_seconds: float) -> None:
        """Until cancelled, looks in Postgres for outcomes that requests have awaited for `silence_seconds`: if a worker
        or Redis dies between the commit and the message, the outcome is never sent."""
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
        """The outcome according to Postgres; None if there is none, or Postgres cannot be reached."""
        try:
            return next(iter(await self._read([command_id])), None)
        except VIEW_FAILED:
            return None

    async def is_applied(self, command_id: UUID) -> bool:
        """Whether the log has the command. Raises a 503 Problem if Postgres cannot be asked."""
        query = select(exists().where(tables.commands.c.id == command_id))
        try:
            async with self._engine.connect() as connection:
                return bool(await connection.scalar(query))
        except VIEW_FAILED:
            raise Problem(
                "database_unavailable",
                "This idempotency key was used before; the outcome of the first request cannot be read now.",
            ) from None

    async def _look_for(self, command_ids: list[UUID]) -> None:
        try:
            for outcome in await self._read(command_ids):
                self._resolve(outcome)
        except VIEW_FAILED as error:
            _log.warning("outcomes could not be looked up (%s)", type(error).__name__)
        except Exception:  # one failure must not end the loop: requests would wait in vain
            _log.exception("outcomes could not be looked up")

    def _resolve(self, outcome: Outcome) -> None:
        for expected in self._waiting.get(outcome.command_id, ()):
            if not expected.done():
                expected.set_result(outcome)
        self._watched.discard(outcome.command_id)

    async def _read(self, command_ids: list[UUID]) -> list[Outcome]:
        commands, events = tables.commands.c, tables.events.c
        query = (
            select(
                commands.id,
                commands.status,
                commands.seq,
                events.type,
                events.occurred_at,
                as_text(events.data),
                events.version,
            )
            .join_from(tables.commands, tables.events, events.seq == commands.seq)
            .where(commands.id.in_(command_ids))
        )
        async with self._engine.connect() as connection:
            rows = await connection.execute(query)
        return [
            current(Outcome(command_id, status, seq, event_type, microseconds(occurred_at), data, version))
            for command_id, status, seq, event_type, occurred_at, data, version in rows
        ]
