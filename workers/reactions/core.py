"""What a reaction is, and how it reports failures.

A new one is a class in its own module: a name, the event types it wants, and `handle`; `workers/background.py` lists
the sources they come from. Handling an event twice must be harmless, or recognisable: if a process is killed after
`handle` but before the position is saved, which is done ten times a second, the event is handled again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Final, NamedTuple, Protocol

import asyncpg

from runtime.mailboxes.sender import Sender
from runtime.metrics import allow_reaction, reaction_kind
from runtime.records import EventRecord
from runtime.settings import Settings
from workers.failures import DATABASE_TROUBLE, NOBODYS_FAULT, backoff_seconds

HANDLE_MAX_SECONDS: Final = 30.0


class GiveUp(Exception):
    """This event can never be handled: it becomes a dead letter at once, and the reaction continues after it."""


class NotNow(Exception):
    """This event cannot be handled now, for a reason that needs no investigation: it is retried a limited number of
    times."""


NOT_THE_EVENT: Final[tuple[type[BaseException], ...]] = (*NOBODYS_FAULT, *DATABASE_TROUBLE)
"""Failures that are not the event's fault."""


class TookTooLong(Exception):
    """Handling an event took longer than the reaction allows."""


class Failure(NamedTuple):
    """A failed attempt: the error, how many attempts at this event have failed, in how many of them the event may have
    been at fault, and when the first one failed."""

    error: Exception
    failures: int
    blamed: int
    since: datetime

    @property
    def blames_event(self) -> bool:
        """Whether the event itself may be at fault."""
        return blames_event(self.error)


def blames_event(error: Exception) -> bool:
    """Whether the event itself may be at fault for a failure."""
    return not isinstance(error, NOT_THE_EVENT)


class Tools(NamedTuple):
    """What reactions work with. The pool's statements must be short: see `runtime.database.create_batch_pool`."""

    config: Settings
    pool: asyncpg.Pool
    sender: Sender


class Reaction:
    """Handles the events of interest to it, in the order of the log.

    `name` is its key in Postgres: never change it. `interests` are event types, or None for all. `delay_seconds` is how
    old an event must be before it is handled. `handle_max_seconds` is how long one call of `handle` may take; longer is
    a failure. `handle_max_events` is how many events `handle_many` is given at a time. `begins_at_end` is whether a new
    reaction skips what has happened before it was added.
    """

    name: str
    interests: frozenset[str] | None
    delay_seconds: float = 0.0
    begins_at_end: ClassVar[bool] = False
    handle_max_seconds: ClassVar[float] = HANDLE_MAX_SECONDS
    handle_max_events: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in cls.__dict__:
            allow_reaction(reaction_kind(cls.name))

    def __init__(self, config: Settings) -> None:
        self._failures_max = config.reaction_failures_max
        self._retry_max_seconds = config.reaction_retry_max_seconds

    async def handle(self, record: EventRecord) -> None:
        """Reacts to one event. If it raises GiveUp, the event is given up; after any other exception, it is retried
        later. It may be cancelled if the run loses its lease."""
        raise NotImplementedError(type(self).__name__)  # every reaction states its own

    async def handle_many(self, records: Sequence[EventRecord]) -> None:
        """Reacts to up to `handle_max_events` events at a time, which succeed or fail together. After a failure they
        come one by one until the one at fault has been passed."""
        for record in records:
            await self.handle(record)

    def retry_seconds(self, failure: Failure) -> float | None:
        """How long to wait before the next attempt; None to give the event up."""
        if failure.blames_event and failure.blamed >= self._failures_max:
            return None
        return backoff_seconds(failure.failures, self._retry_max_seconds)

    async def failed(self, record: EventRecord, failure: Failure) -> None:
        """Called after each failure of the event that is next in line, before the failure is recorded."""


class Source(Protocol):
    """Where reactions come from: asked repeatedly, because they come and go."""

    async def reactions(self) -> Sequence[Reaction]:
        """The reactions to run now. The same one may be a different object each time."""


class Fixed:
    """A fixed set of reactions."""

    def __init__(self, *reactions: Reaction) -> None:
        self._reactions = reactions

    async def reactions(self) -> Sequence[Reaction]:
        return self._reactions
