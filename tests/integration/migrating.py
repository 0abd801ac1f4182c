"""Migrates a database of a test's own, and compares it with what the code declares."""

import asyncio
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from runtime import migrations, tables
from runtime.engine import create_engine


async def differences(database_url: str) -> list[Any]:
    """What a new migration would have to change to arrive at `runtime.tables`."""

    def compare(connection: Connection) -> list[Any]:
        partitions = set(connection.scalars(text("SELECT relname FROM pg_class WHERE relispartition")))
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_server_default": True,
                "compare_type": True,
                "target_metadata": tables.metadata,
                "include_name": lambda name, kind, _: kind != "table" or name not in partitions,
            },
        )
        return list(compare_metadata(context, tables.metadata))

    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


async def ask(database_url: str, question: str) -> list[tuple[Any, ...]]:
    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(question))]
    finally:
        await engine.dispose()


async def upgrade(database_url: str) -> None:
    # In a thread: Alembic's run makes an event loop of its own.
    await asyncio.to_thread(migrations.upgrade, database_url)
