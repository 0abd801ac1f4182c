"""Batches that Postgres itself does not end in time: the sweep does.

While COPY waits for rows, Postgres looks at none of its timeouts, only at being told to end. A worker that is stopped
just then would keep whatever its batch has locked, the event counter too, for as long as it is stopped, and nobody else
could apply anything. Whoever still runs has such a connection ended; what it was at is rolled back, and tried again.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import asyncpg

_GRACE_SECONDS: Final = 1.0
"""Beyond what a batch may take: by then Postgres has ended all others."""

# The connections of batches are those that are named as the one that asks.
_END: Final = """
    SELECT pid, pg_terminate_backend(pid) AS ended FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
        AND application_name = current_setting('application_name')
        AND xact_start < clock_timestamp() - make_interval(secs => $1)
"""

_log = logging.getLogger(__name__)


async def end_overdue(pool: asyncpg.Pool[Any], batch_max_seconds: float) -> None:
    """Ends the transactions of batches that have taken longer than a batch may."""
    for pid, ended in await pool.fetch(_END, batch_max_seconds + _GRACE_SECONDS):
        if ended:
            _log.error("the batch of Postgres process %d took too long (was its worker stopped?); it was ended", pid)
