"""Views' connections: how many round trips a view takes, and that who wants a transaction gets one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from runtime.engine import create_engine, in_transaction


@asynccontextmanager
async def _overheard(database_url: str, **options: Any) -> AsyncIterator[tuple[AsyncConnection, list[str]]]:
    """A connection, and everything sent over it."""
    sent: list[str] = []
    engine = create_engine(database_url, pool_size=1, **options)
    try:
        async with engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            assert raw is not None
            raw.add_query_logger(lambda record: sent.append(record.query))
            yield connection, sent
    finally:
        await engine.dispose()


@pytest.mark.parametrize(("transactions", "begun"), [(False, []), (True, ["BEGIN ISOLATION LEVEL READ COMMITTED;"])])
async def test_statements_are_spared_a_transaction_where_nobody_needs_one(
    database_url: str, transactions: bool, begun: list[str]
) -> None:
    async with _overheard(database_url, transactions=transactions) as (connection, sent):
        await connection.execute(text("SELECT 1"))
        await connection.execute(text("SELECT 2"))
        await connection.rollback()
        assert [query for query in sent if query.startswith("BEGIN")] == begun


async def test_a_snapshot_ends_with_the_transaction_that_asked_for_it(database_url: str) -> None:
    level, now = text("SHOW transaction_isolation"), text("SELECT now(), pg_current_snapshot()::text")
    async with _overheard(database_url, transactions=False) as (connection, _):
        await connection.execute(now)
        await in_transaction(connection, "REPEATABLE READ")
        assert (await connection.execute(level)).scalar() == "repeatable read"
        assert (await connection.execute(now)).one() == (await connection.execute(now)).one()
        await connection.close()
        again = connection.engine
        async with again.connect() as other:
            assert (await other.execute(level)).scalar() == "read committed"
            assert (await other.execute(now)).scalar() != (await other.execute(now)).scalar()
