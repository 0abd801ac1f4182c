"""Migrations: they make the tables that the code declares, from nothing or from older ones, once, one at a time."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from sqlalchemy import text

from runtime import migrations
from runtime.database import asyncpg_dsn
from runtime.engine import create_engine
from tests import pace
from tests.integration.migrating import ask, differences, upgrade
from tests.servers import Databases
from tests.system import eventually_seen

_TIDEGATE: Final = Path(sys.executable).with_name("tidegate")


async def test_they_make_the_tables_that_the_code_declares(databases: Databases) -> None:
    with databases.empty() as url:
        await upgrade(url)
        assert await differences(url) == []
        assert await ask(url, "SELECT version_num FROM alembic_version") == [(migrations.head(),)]


async def test_a_difference_would_be_seen(database_url: str) -> None:
    await upgrade(database_url)
    assert await differences(database_url) == []
    engine = create_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE stock ALTER COLUMN on_hand TYPE bigint"))
    await engine.dispose()
    assert await differences(database_url)


async def test_running_them_again_changes_nothing(database_url: str) -> None:
    engine = create_engine(database_url, pool_size=1)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE event_counter SET last_seq = 7"))
    await engine.dispose()
    await upgrade(database_url)
    assert await ask(database_url, "SELECT last_seq FROM event_counter") == [(7,)]


@pytest.mark.campaign
async def test_concurrent_runs_take_turns(databases: Databases) -> None:
    with databases.empty() as url:
        commands = [
            await asyncio.create_subprocess_exec(_TIDEGATE, "migrate", env={**os.environ, "DATABASE_URL": url})
            for _ in range(3)
        ]
        assert await asyncio.gather(*(command.wait() for command in commands)) == [0, 0, 0]
        assert await differences(url) == []
        assert await ask(url, "SELECT only_row, last_seq FROM event_counter") == [(1, 0)]


async def test_one_that_has_to_wait_for_a_table_holds_nobody_up(
    databases: Databases, caplog: pytest.LogCaptureFixture
) -> None:
    """A long read holds the table. Statements queued behind the migration must not wait for as long."""
    with databases.empty() as url:
        await asyncio.to_thread(migrations.upgrade, url, "0028")
        reader, other = [await asyncpg.connect(asyncpg_dsn(url)) for _ in range(2)]
        reading = reader.transaction()
        await reading.start()
        await reader.execute("SELECT FROM events")
        migrating = asyncio.create_task(upgrade(url))

        async def waits() -> bool:
            return bool(await other.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))

        await eventually_seen("a migration that waits", waits, within_seconds=10)
        for _ in range(3):
            assert await other.fetchval("SELECT count(*) FROM events", timeout=pace.seconds(5)) == 0
        assert not migrating.done()
        await reading.rollback()
        await migrating
        assert "a table is in use" in caplog.text
        assert await ask(url, "SELECT version_num FROM alembic_version") == [(migrations.head(),)]
        for connection in (reader, other):
            await connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO stock VALUES ('MUG', 1, 2)",
        "INSERT INTO stock VALUES ('MUG', 1, -1)",
        "INSERT INTO stock VALUES ('MUG', -1, 0)",
        "WITH made AS (INSERT INTO products VALUES"
        " (gen_random_uuid(), 'mug', 'A mug', '', NULL, 'active', 1, now(), now()) RETURNING id)"
        " INSERT INTO variants SELECT 'MUG', id, '', -1, 'GBP', NULL, NULL, NULL, '{}', true, true, now(), now()"
        " FROM made",
        "INSERT INTO variants VALUES"
        " ('MUG', gen_random_uuid(), '', 1, 'GBP', NULL, NULL, NULL, '{}', true, true, now(), now())",
        "INSERT INTO products VALUES (gen_random_uuid(), 'mug', 'A mug', '', NULL, 'active', 1, now(), now()),"
        " (gen_random_uuid(), 'mug', 'Another', '', NULL, 'active', 1, now(), now())",
        "INSERT INTO categories VALUES (gen_random_uuid(), 'up', 'Up', gen_random_uuid(), 0, 1, now(), now())",
        "INSERT INTO event_counter VALUES (2, 0)",
        "INSERT INTO event_counter VALUES (1, 0)",
    ],
)
async def test_the_tables_themselves_refuse_invalid_rows(databases: Databases, statement: str) -> None:
    with databases.migrated() as url, pytest.raises(Exception, match="violates"):
        await ask(url, statement)


async def test_an_idempotency_key_is_used_once_by_each_principal(database_url: str) -> None:
    (definition,) = (
        row[0]
        for row in await ask(database_url, "SELECT indexdef FROM pg_indexes WHERE indexname = 'idempotency_keys_pkey'")
    )
    assert "UNIQUE" in definition
    assert "(principal, key)" in definition
