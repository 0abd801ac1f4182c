"""What a reaction is, and how it says that something went wrong.

A new one is a class in a module of its own: a name, the types of event it wants, and `handle`; `workers/background.py`
lists the sources they come from. Handling an event twice must do no harm, or be recognisable: a process that is killed
after `handle`, before the position is kept, leaves it to be done once more.
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
    """This event can never be handled: it becomes a dead letter at once, and the reaction goes on behind it."""


class NotNow(Exception):
    """This event cannot be handled now, and nobody needs to look into why: it is tried again, so many times."""


NOT_THE_EVENT: Final[tuple[type[BaseException], ...]] = (*NOBODYS_FAULT, *DATABASE_TROUBLE)
"""What says nothing about the event."""


class TookTooLong(Exception):
    """Handling an event took longer than the reaction allows."""


class Failure(NamedTuple):
    """A try that failed: with what, how many there were of this event by now, how many of them may have been the
    event's own fault, and when the first one failed."""

    error: Exception
    failures: int
    blamed: int
    since: datetime

    @property
    def blames_event(self) -> bool:
        """Whether the event itself may be the reason."""
        return blames_event(self.error)


def blames_event(error: Exception) -> bool:
    """Whether the event itself may be the reason for a failure."""
    return not isinstance(error, NOT_THE_EVENT)


class Tools(NamedTuple):
    """What reactions stand on. The pool's statements are short ones: see `runtime.database.create_batch_pool`."""

    config: Settings
    pool: asyncpg.Pool
    sender: Sender


class Reaction:
    """Handles the events that interest it, in the order of the log.

    `name` is its key in Postgres: never change it. `interests` are types of event, None for all of them.
    `delay_seconds`: an event is not handled before it is that old. `handle_max_seconds` is what one call of `handle`
    may take; longer is a failure. `handle_max_events` is how many events `handle_many` is given at a time.
    `begins_at_end`: whether a reaction that was never heard of passes over what has happened before.
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
        """Does what follows from one event. Whatever it raises, it is tried again later; GiveUp is final. It may be
        cancelled, when the run has lost its right to go on."""
        raise NotImplementedError(type(self).__name__)  # every reaction says its own

    async def handle_many(self, records: Sequence[EventRecord]) -> None:
        """The same for up to `handle_max_events` at a time, done or failed together. After a failure they come one by
        one, until the culprit is behind."""
        for record in records:
            await self.handle(record)

    def retry_seconds(self, failure: Failure) -> float | None:
        """How long to wait before the next try; None to give the event up."""
        if failure.blames_event and failure.blamed >= self._failures_max:
            return None
        return backoff_seconds(failure.failures, self._retry_max_seconds)

    async def failed(self, record: EventRecord, failure: Failure) -> None:
        """Told of every failure of the first event behind the position, before that is recorded."""


class Source(Protocol):
    """Where reactions come from: asked again and again, because they come and go."""

    async def reactions(self) -> Sequence[Reaction]:
        """Those that are to be run now. The same one may be another object each time."""


class Fixed:
    """Reactions that are always there."""

    def __init__(self, *reactions: Reaction) -> None:
        self._reactions = reactions

    async def reactions(self) -> Sequence[Reaction]:
        return self._reactions
