"""Ends overdue batches that Postgres itself does not end.

While COPY waits for rows, Postgres checks none of its timeouts, only requests to terminate. A worker that is suspended
just then would keep everything its batch has locked, including the event counter, for as long as it is suspended, and
nobody else could apply anything. The sweep of any other worker terminates such a connection; its transaction is rolled
back, and the batch is retried.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import asyncpg

_GRACE_SECONDS: Final = 1.0
"""Added to the longest time of a batch: by then Postgres itself has ended whatever it can."""

# Batches' connections have the same application name as the one that runs this.
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
            _log.error("terminated the overdue batch of Postgres process %d (was its worker suspended?)", pid)
