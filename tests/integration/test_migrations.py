"""Migrations: they make the tables that the code knows, from nothing, once, and one at a time."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from runtime import migrations, tables
from runtime.database import create_engine
from tests.servers import Databases

_TIDEGATE: Final = Path(sys.executable).with_name("tidegate")


async def _differences(database_url: str) -> list[Any]:
    """What a new migration would have to change to arrive at `runtime.tables`."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True, "compare_type": True, "target_metadata": tables.metadata}
        )
        return list(compare_metadata(context, tables.metadata))

    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(compare)
    finally:
        await engine.dispose()


async def _ask(database_url: str, question: str) -> list[tuple[Any, ...]]:
    engine = create_engine(database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(question))]
    finally:
        await engine.dispose()


async def _upgrade(database_url: str) -> None:
    # In a thread: Alembic's run makes an event loop of its own.
    await asyncio.to_thread(migrations.upgrade, database_url)


async def test_they_make_the_tables_that_the_code_knows(databases: Databases) -> None:
    with databases.empty() as url:
        await _upgrade(url)
        assert await _differences(url) == []
        assert await _ask(url, "SELECT version_num FROM alembic_version") == [(migrations.head(),)]


async def test_a_difference_would_be_seen(database_url: str) -> None:
    await _upgrade(database_url)
    assert await _differences(database_url) == []
    engine = create_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE stock ALTER COLUMN on_hand TYPE bigint"))
    await engine.dispose()
    assert await _differences(database_url)


async def test_running_them_again_changes_nothing(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE event_counter SET last_seq = 7"))
    await engine.dispose()
    await _upgrade(database_url)
    assert await _ask(database_url, "SELECT last_seq FROM event_counter") == [(7,)]


async def test_several_at_once_take_turns(databases: Databases) -> None:
    with databases.empty() as url:
        commands = [
            await asyncio.create_subprocess_exec(_TIDEGATE, "migrate", env={**os.environ, "DATABASE_URL": url})
            for _ in range(3)
        ]
        assert await asyncio.gather(*(command.wait() for command in commands)) == [0, 0, 0]
        assert await _differences(url) == []
        assert await _ask(url, "SELECT only_row, last_seq FROM event_counter") == [(1, 0)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO stock VALUES ('MUG', 1, 2)",
        "INSERT INTO stock VALUES ('MUG', 1, -1)",
        "INSERT INTO stock VALUES ('MUG', -1, 0)",
        "INSERT INTO products VALUES ('MUG', 'A mug', -1, 'GBP')",
        "INSERT INTO event_counter VALUES (2, 0)",
        "INSERT INTO event_counter VALUES (1, 0)",
    ],
)
async def test_the_tables_themselves_refuse_what_must_never_be(databases: Databases, statement: str) -> None:
    with databases.migrated() as url, pytest.raises(Exception, match="violates"):
        await _ask(url, statement)


async def test_an_idempotency_key_is_used_once_by_each_principal(database_url: str) -> None:
    (definition,) = (
        row[0]
        for row in await _ask(
            database_url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'commands_idempotency_key'"
        )
    )
    assert "UNIQUE" in definition
    assert "(principal, idempotency_key)" in definition
