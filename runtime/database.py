"""Postgres for batches and background work: plain asyncpg, and the errors that mean the server is unavailable.

A batch runs the same few prepared statements over arrays, thousands of rows a second; composing them each time would
cost more than running them. Views use SQLAlchemy's engine (`runtime/engine.py`), which workers need not import.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import asyncpg

from runtime import database_url as urls
from runtime.postgres_connections import create_pool

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

CONNECT_TIMEOUT_SECONDS: Final = 2.0
_JOB_IDLE_SECONDS: Final = 30

PATIENT: Final = {"idle_in_transaction_session_timeout": "0", "transaction_timeout": "0"}
"""Server settings for a transaction that is idle or open for a long time, overriding whatever the server is set to."""

# Postgres is unavailable, restarting, or has closed the connection: retry the whole transaction.
LOST_CONNECTION: Final[tuple[type[BaseException], ...]] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # use of a connection that broke in the middle of an operation
    asyncpg.CannotConnectNowError,
    asyncpg.InvalidCatalogNameError,  # while a database is being restored, it may not exist
    asyncpg.ObjectNotInPrerequisiteStateError,  # or not accept connections
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
)


def asyncpg_dsn(database_url: str) -> str:
    """The URL for asyncpg. Raises BadDatabaseUrl."""
    return urls.read(database_url)[0]


def application_name(database_url: str, part: str) -> str:
    """The name under which the server lists a part's connections: the URL's or ours, then the part's."""
    return f"{urls.read(database_url)[1].get('application_name', 'tidegate')}-{part}"


async def _keep_session(connection: Any) -> None:
    """Resets nothing when a connection returns to the pool, since batches change no session state; asyncpg's own reset
    would cost every batch another round trip."""


async def create_batch_pool(
    database_url: str, *, size: int, batch_max_seconds: float, part: str = "batch"
) -> asyncpg.Pool[Any]:
    """Connections for batches, opened on first use. So that a suspended worker cannot hold a mailbox, Postgres ends its
    transaction: soon if it is idle between statements, otherwise when the batch's time is up. `workers/overdue.py`
    handles one that is waiting for COPY data.

    A pool with a different `batch_max_seconds` needs a `part` of its own, or its transactions are taken for overdue.
    The name must still end in "-batch": the triggers note what any other session writes as changed by hand."""
    return await create_pool(
        asyncpg_dsn(database_url),
        size=size,
        connect_seconds=CONNECT_TIMEOUT_SECONDS,
        command_timeout=batch_max_seconds,
        reset=_keep_session,
        server_settings={
            "application_name": application_name(database_url, part),
            "jit": "off",
            # By default, Postgres plans a statement again whenever its arrays are short: a third of a small batch's
            # time.
            "plan_cache_mode": "force_generic_plan",
            "idle_in_transaction_session_timeout": str(int(min(batch_max_seconds, 3.0) * 1000)),
            "transaction_timeout": str(int(batch_max_seconds * 1000)),
        },
    )


async def create_job_pool(database_url: str, *, size: int, job_max_seconds: float) -> asyncpg.Pool[Any]:
    """Connections for jobs, opened on first use. A job may read for a long time, but on one core and with little
    memory, so that batches keep theirs. Postgres ends the transaction of a stopped process, as it does for batches."""
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
