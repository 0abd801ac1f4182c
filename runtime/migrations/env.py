"""Alembic's entry: one connection, one advisory lock so that two runs take turns, a transaction for each migration.

The previous release is running meanwhile. A migration that waits for a lock on a table blocks everyone who queues
behind it, so it has a short lock timeout, lets the others pass, and starts again.
"""

import asyncio
import logging
from typing import Final

import asyncpg
from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from runtime.engine import create_engine
from runtime.server_versions import require_postgres
from runtime.tables import metadata

_MIGRATION_LOCK = 7_431_984_410_312  # any number, as long as it is always this one

_IN_THE_WAY: Final = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
_LOCK_MILLISECONDS: Final = 500
_PAUSE_SECONDS: Final = 0.5
# Together, longer than the longest export holds a table.
_ATTEMPTS: Final = 1_000

_log = logging.getLogger(__name__)


def _migrate(connection: Connection) -> None:
    require_postgres(connection)
    connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": _MIGRATION_LOCK})  # the session's
    connection.execute(text(f"SET lock_timeout = {_LOCK_MILLISECONDS}"))
    connection.commit()
    context.configure(
        connection=connection, target_metadata=metadata, compare_server_default=True, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def _run(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1, statement_timeout=None)
    try:
        for attempt in range(_ATTEMPTS):
            try:
                async with engine.connect() as connection:
                    await connection.run_sync(_migrate)
                return
            except DBAPIError as error:
                if not isinstance(getattr(error.orig, "__cause__", None), _IN_THE_WAY) or attempt + 1 == _ATTEMPTS:
                    raise
                _log.warning("a table is in use (%s); the migration starts over", error.orig)
            await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await engine.dispose()


asyncio.run(_run(context.config.attributes["database_url"]))
