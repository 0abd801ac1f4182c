"""Alembic's entry: one connection, one advisory lock so that two migrations take turns, one transaction."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from runtime.engine import create_engine
from runtime.server_versions import require_postgres
from runtime.tables import metadata

_MIGRATION_LOCK = 7_431_984_410_312  # any number, as long as it is always this one


def _migrate(connection: Connection) -> None:
    require_postgres(connection)
    context.configure(connection=connection, target_metadata=metadata, compare_server_default=True)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
        context.run_migrations()


async def _run(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1, statement_timeout=None)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(_run(context.config.attributes["database_url"]))
