"""Postgres for views and migrations: SQLAlchemy's engine. Views are written in SQLAlchemy Core, for readability."""

from __future__ import annotations

from typing import Final, Literal

import asyncpg
from sqlalchemy import AdaptedConnection, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from runtime.database import CONNECT_TIMEOUT_SECONDS, LOST_CONNECTION, application_name, asyncpg_dsn
from runtime.fair_pool import FairPool
from runtime.liveness import Liveness
from runtime.postgres_connections import Connection, Peer

VIEW_TIMEOUT_SECONDS: Final = 10.0
_STATEMENTS_KEPT: Final = 100  # asyncpg's default

# What a view raises, whatever the cause.
VIEW_FAILED: Final[tuple[type[BaseException], ...]] = (SQLAlchemyError, *LOST_CONNECTION)


def create_engine(
    database_url: str,
    *,
    pool_size: int,
    statement_timeout: float | None = VIEW_TIMEOUT_SECONDS,
    keeps_statements: bool = True,
    transactions: bool = True,
) -> AsyncEngine:
    """The engine for views. It connects on first use, and checks that a connection that was idle is still alive. A
    statement may take `statement_timeout` seconds. Without `keeps_statements`, statements are prepared without a name,
    in the transaction that uses them, because a pooler may serve the next transaction on another connection. Without
    `transactions`, each statement is its own transaction: that saves the round trips of BEGIN and ROLLBACK, and loses
    nothing, since statements at READ COMMITTED see each other's commits anyway."""
    dsn, name = asyncpg_dsn(database_url), application_name(database_url, "view")
    doubts, peer = Liveness.configured(), Peer()

    async def connect() -> Connection:
        connection: Connection = await asyncpg.connect(
            dsn,
            connection_class=Connection,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=statement_timeout,
            statement_cache_size=_STATEMENTS_KEPT if keeps_statements else 0,
            server_settings={"application_name": name, "jit": "off"},
        )
        connection.begin(doubts, peer)
        return connection

    # SQLAlchemy would parse the URL by its own rules, and pass asyncpg arguments that it does not accept (sslmode).
    unnamed = {} if keeps_statements else {"prepared_statement_cache_size": 0, "prepared_statement_name_func": str}
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"async_creator_fn": connect, **unnamed},
        isolation_level="READ COMMITTED" if transactions else "AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
        poolclass=FairPool,
    )
    event.listen(engine.sync_engine, "checkout", _doubt)
    event.listen(engine.sync_engine, "checkin", _rest)
    return engine


async def in_transaction(connection: AsyncConnection, level: Literal["READ COMMITTED", "REPEATABLE READ"]) -> None:
    """Runs the view's next statements in one transaction that writes nothing: for settings local to it, or to see one
    snapshot."""
    await connection.rollback()
    await connection.execution_options(isolation_level=level, postgresql_readonly=True)


def _doubt(connection: AdaptedConnection, *_: object) -> None:
    """Called before a view gets a connection. SQLAlchemy's own check, `pool_pre_ping`, pings every time and has no
    timeout."""
    if not connection.run_async(Connection.is_alive):
        raise InvalidatePoolError


def _rest(connection: AdaptedConnection | None, _: object) -> None:
    """Called when a view returns a connection; None stands for one that was lost."""
    if connection is not None:
        connection.driver_connection.rests()


def is_unavailable(error: BaseException) -> bool:
    """Whether a view failed because Postgres is unavailable, rather than because the statement was wrong."""
    if isinstance(error, (PoolTimeoutError, *LOST_CONNECTION)):
        return True
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(getattr(error.orig, "__cause__", None), LOST_CONNECTION)
    )
