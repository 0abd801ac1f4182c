"""Postgres: SQLAlchemy's engine for views and migrations, a bare asyncpg pool for batches.

Views are composed and read by people: SQLAlchemy Core. A batch runs the same few prepared statements over arrays,
thousands of rows a second, where composing them anew would cost more than running them: asyncpg itself.
"""

from __future__ import annotations

from typing import Any, Final

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_SECONDS: Final = 2.0
VIEW_TIMEOUT_SECONDS: Final = 10.0

# What it looks like when Postgres is away, restarting, or has cut the connection: worth trying again, whole.
LOST_CONNECTION: Final[tuple[type[BaseException], ...]] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of something, used once more
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
)

# What a view raises, whatever is the matter.
VIEW_FAILED: Final[tuple[type[BaseException], ...]] = (SQLAlchemyError, *LOST_CONNECTION)


def _driver_url(database_url: str) -> URL:
    return make_url(database_url).set(drivername="postgresql+asyncpg")


def create_engine(
    database_url: str, *, pool_size: int, statement_timeout: float | None = VIEW_TIMEOUT_SECONDS
) -> AsyncEngine:
    """The engine for views; it connects when first asked, and checks a connection only after it has failed. A statement
    may take `statement_timeout` seconds."""
    return create_async_engine(
        _driver_url(database_url),
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        connect_args={
            "timeout": CONNECT_TIMEOUT_SECONDS,
            "command_timeout": statement_timeout,
            "server_settings": {"application_name": "tidegate-view", "jit": "off"},
        },
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether a view failed because Postgres could not be reached, and not because the statement was wrong."""
    if isinstance(error, (PoolTimeoutError, *LOST_CONNECTION)):
        return True
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(getattr(error.orig, "__cause__", None), LOST_CONNECTION)
    )


def asyncpg_dsn(database_url: str) -> str:
    """The URL as asyncpg itself takes it."""
    return _driver_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)


async def _keep_session(connection: Any) -> None:
    """Nothing to reset when a connection goes back to the pool: batches change no session state. asyncpg's own reset
    would be one more round trip for every batch."""


async def create_batch_pool(database_url: str, *, size: int, batch_max_seconds: float) -> asyncpg.Pool[Any]:
    """Connections for batches, opened when first used. A stopped worker's transaction is ended by Postgres itself,
    so that it cannot hold a mailbox: soon if it sits idle between statements, and in any case after the batch's time.
    """
    return await asyncpg.create_pool(
        dsn=asyncpg_dsn(database_url),
        min_size=0,
        max_size=size,
        timeout=CONNECT_TIMEOUT_SECONDS,
        command_timeout=batch_max_seconds,
        reset=_keep_session,
        server_settings={
            "application_name": "tidegate-batch",
            "jit": "off",
            "idle_in_transaction_session_timeout": str(int(min(batch_max_seconds, 3.0) * 1000)),
            "transaction_timeout": str(int(batch_max_seconds * 1000)),
        },
    )
