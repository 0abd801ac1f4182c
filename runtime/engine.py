"""Postgres for views and migrations: SQLAlchemy's engine. Views are composed and read by people, in SQLAlchemy Core."""

from __future__ import annotations

from typing import Final

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from runtime.database import CONNECT_TIMEOUT_SECONDS, LOST_CONNECTION

VIEW_TIMEOUT_SECONDS: Final = 10.0

# What a view raises, whatever is the matter.
VIEW_FAILED: Final[tuple[type[BaseException], ...]] = (SQLAlchemyError, *LOST_CONNECTION)


def create_engine(
    database_url: str, *, pool_size: int, statement_timeout: float | None = VIEW_TIMEOUT_SECONDS
) -> AsyncEngine:
    """The engine for views; it connects when first asked, and checks a connection only after it has failed. A statement
    may take `statement_timeout` seconds."""
    return create_async_engine(
        make_url(database_url).set(drivername="postgresql+asyncpg"),
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
