"""Failures of reactions and tasks: whose fault they may be, and how long to wait before the next attempt."""

from __future__ import annotations

import random
from typing import Final

import asyncpg

from runtime.database import LOST_CONNECTION
from runtime.mailboxes.post import MailboxesUnavailable, MailboxFull, PostQueueFull
from runtime.redis_client import REDIS_UNAVAILABLE

RETRY_FIRST_SECONDS: Final = 1.0
ERROR_MAX_CHARS: Final = 1_000


class Away(Exception):
    """Something that is needed is away. That is nobody's fault: it is waited for, however long it takes."""


DATABASE_TROUBLE: Final[tuple[type[BaseException], ...]] = (asyncpg.PostgresError, *LOST_CONNECTION)
"""Postgres is away, or does not do what it was asked: a full disk, a statement that was cancelled."""

NOBODYS_FAULT: Final[tuple[type[BaseException], ...]] = (
    Away,
    MailboxFull,
    PostQueueFull,
    MailboxesUnavailable,
    *REDIS_UNAVAILABLE,
)
"""What says nothing about the event or task that was at hand."""


def backoff_seconds(failures: int, longest: float) -> float:
    """How long to wait after that many failures in a row: twice as long each time, up to `longest`; of that somewhere
    between half and all, so that many that failed together do not come back together."""
    seconds = min(RETRY_FIRST_SECONDS * 2.0 ** min(max(failures - 1, 0), 30), longest)
    return seconds * (0.5 + random.random() / 2)  # noqa: S311 - jitter


def told(error: BaseException) -> str:
    """What is kept of an error."""
    return f"{type(error).__name__}: {error}"[:ERROR_MAX_CHARS]
