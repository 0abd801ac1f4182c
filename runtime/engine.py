"""Postgres for views and migrations: SQLAlchemy's engine. Views are composed and read by people, in SQLAlchemy Core."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from runtime.database import CONNECT_TIMEOUT_SECONDS, LOST_CONNECTION, application_name, asyncpg_dsn

VIEW_TIMEOUT_SECONDS: Final = 10.0

# What a view raises, whatever is the matter.
VIEW_FAILED: Final[tuple[type[BaseException], ...]] = (SQLAlchemyError, *LOST_CONNECTION)


def create_engine(
    database_url: str, *, pool_size: int, statement_timeout: float | None = VIEW_TIMEOUT_SECONDS
) -> AsyncEngine:
    """The engine for views; it connects when first asked, and checks a connection only after it has failed. A statement
    may take `statement_timeout` seconds."""
    dsn, name = asyncpg_dsn(database_url), application_name(database_url, "view")

    async def connect() -> Any:
        return await asyncpg.connect(
            dsn,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=statement_timeout,
            server_settings={"application_name": name, "jit": "off"},
        )

    # SQLAlchemy would read the URL by rules of its own, and hand asyncpg arguments that it does not take (sslmode).
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_SECONDS,
    )


def is_unavailable(error: BaseException) -> bool:
    """Whether a view failed because Postgres could not be reached, and not because the statement was wrong."""
    if isinstance(error, (PoolTimeoutError, *LOST_CONNECTION)):
        return True
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or isinstance(getattr(error.orig, "__cause__", None), LOST_CONNECTION)
    )
