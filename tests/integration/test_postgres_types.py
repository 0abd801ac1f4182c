"""Postgres's own types are asked for once a process, and those of a database on every connection."""

from typing import Any, Final
from uuid import UUID

import asyncpg

from runtime.postgres_types import LearnedConnection

_IDS: Final = [UUID(int=1), UUID(int=2)]
_ASKED: Final = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'WITH RECURSIVE typeinfo_tree%'"


async def _asked_for(database_url: str, query: str, value: list[Any]) -> int:
    """How often a new connection asks what the type of this value is, which it returns as it was."""
    connection = await asyncpg.connect(database_url, connection_class=LearnedConnection)
    try:
        assert await connection.fetchval(query, value) == value
        assert await connection.fetchval(query, value) == value
        count: int = await connection.fetchval(_ASKED)
        return count
    finally:
        await connection.close()


async def test_an_array_of_postgres_s_own_is_asked_for_once(database_url: str) -> None:
    await _asked_for(database_url, "SELECT $1::uuid[]", _IDS)
    assert await _asked_for(database_url, "SELECT $1::uuid[]", _IDS) == 0
    assert await _asked_for(database_url, "SELECT $1::uuid[] WHERE $1 IS NOT NULL", _IDS) == 0


async def test_a_database_s_own_type_is_asked_for_on_every_connection(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TYPE colour AS ENUM ('red', 'green')")
    await connection.close()
    for _ in range(2):
        assert await _asked_for(database_url, "SELECT $1::colour[]", ["green", "red"]) == 1
