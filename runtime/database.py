"""Postgres for batches and background work: bare asyncpg, and what it looks like when the server is away.

A batch runs the same few prepared statements over arrays, thousands of rows a second, where composing them anew would
cost more than running them. Views have SQLAlchemy's engine (`runtime/engine.py`), which workers need not import.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg

from runtime import database_url as urls
from runtime.postgres_connections import create_pool

CONNECT_TIMEOUT_SECONDS: Final = 2.0
_JOB_IDLE_SECONDS: Final = 30

# What it looks like when Postgres is away, restarting, or has cut the connection: worth trying again, whole.
LOST_CONNECTION: Final[tuple[type[BaseException], ...]] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of something, used once more
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidCatalogNameError,  # the database is being put back: for a moment there is none,
    asyncpg.ObjectNotInPrerequisiteStateError,  # or one that takes no connections
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
)


def asyncpg_dsn(database_url: str) -> str:
    """The URL as asyncpg takes it. Raises BadDatabaseUrl."""
    return urls.read(database_url)[0]


def application_name(database_url: str, part: str) -> str:
    """What the server lists a part's connections as: the name that the URL gives, or ours, then the part's."""
    return f"{urls.read(database_url)[1].get('application_name', 'tidegate')}-{part}"


async def _keep_session(connection: Any) -> None:
    """Nothing to reset when a connection goes back to the pool: batches change no session state. asyncpg's own reset
    would be one more round trip for every batch."""


async def create_batch_pool(database_url: str, *, size: int, batch_max_seconds: float) -> asyncpg.Pool[Any]:
    """Connections for batches, opened when first used. A stopped worker's transaction is ended by Postgres itself,
    so that it cannot hold a mailbox: soon if it sits idle between statements, and else after the batch's time; for one
    that waits for rows to copy, see `workers/overdue.py`."""
    return await create_pool(
        asyncpg_dsn(database_url),
        size=size,
        connect_seconds=CONNECT_TIMEOUT_SECONDS,
        command_timeout=batch_max_seconds,
        reset=_keep_session,
        server_settings={
            "application_name": application_name(database_url, "batch"),
            "jit": "off",
            "idle_in_transaction_session_timeout": str(int(min(batch_max_seconds, 3.0) * 1000)),
            "transaction_timeout": str(int(batch_max_seconds * 1000)),
        },
    )


async def create_job_pool(database_url: str, *, size: int, job_max_seconds: float) -> asyncpg.Pool[Any]:
    """Connections for jobs, opened when first used. A job may read for long, but on one core and with little memory, so
    that batches keep theirs; a stopped process's transaction is ended by Postgres, as a batch's is."""
    return await create_pool(
        asyncpg_dsn(database_url),
        size=size,
        connect_seconds=CONNECT_TIMEOUT_SECONDS,
        command_timeout=job_max_seconds,
        server_settings={
            "application_name": application_name(database_url, "job"),
            "jit": "off",
            "max_parallel_workers_per_gather": "0",
            "plan_cache_mode": "force_custom_plan",
            "idle_in_transaction_session_timeout": str(_JOB_IDLE_SECONDS * 1000),
            "transaction_timeout": str(int(job_max_seconds * 1000)),
        },
    )
