"""Failures of reactions and tasks: what may be at fault, and how long to wait before the next attempt."""

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
    """Something that is needed is unavailable. The work itself is not at fault: it waits, however long that takes."""


DATABASE_TROUBLE: Final[tuple[type[BaseException], ...]] = (asyncpg.PostgresError, *LOST_CONNECTION)
"""Postgres is unavailable or cannot comply: a full disk, a cancelled statement."""

NOBODYS_FAULT: Final[tuple[type[BaseException], ...]] = (
    Away,
    MailboxFull,
    PostQueueFull,
    MailboxesUnavailable,
    *REDIS_UNAVAILABLE,
)
"""Failures for which the event or task at hand is not to blame."""


def backoff_seconds(failures: int, longest: float) -> float:
    """How long to wait after this many failures in a row: exponential backoff up to `longest`, with jitter of up to
    half, so that work that failed together is not all retried together."""
    seconds = min(RETRY_FIRST_SECONDS * 2.0 ** min(max(failures - 1, 0), 30), longest)
    return seconds * (0.5 + random.random() / 2)  # noqa: S311 - jitter


def told(error: BaseException) -> str:
    """The part of an error that is kept."""
    return f"{type(error).__name__}: {error}"[:ERROR_MAX_CHARS]
