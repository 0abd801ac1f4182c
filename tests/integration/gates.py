"""Gates in Postgres, to force an interleaving: transactions that are about to write a table wait until the gate is
opened.

A gate is a trigger that asks for an advisory lock which the test holds. So a real transaction with real locks is held
at a known place, whatever the code around it looks like; nothing sleeps, and nothing is replaced.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from runtime.database import asyncpg_dsn
from tests.system import eventually_seen

_WITHIN_SECONDS: Final = 10.0

# A sequence counts arrivals even if their transactions are rolled back.
_GATEKEEPER: Final = """
    CREATE SEQUENCE visitors;
    CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF nextval('visitors') <= TG_ARGV[0]::int THEN
            PERFORM pg_advisory_xact_lock_shared(1);
        END IF;
        RETURN NULL;
    END $$;
"""
_EVERYBODY: Final = 1_000_000


class Gate:
    """A closed gate; transactions that arrive at it queue up."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection

    async def wait_for(self, count: int) -> None:
        """Returns when `count` transactions are held at the gate."""
        await self._wait_until(
            f"{count} transactions at the gate",
            "SELECT count(*) >= $1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            count,
        )

    async def wait_for_blocked(self, count: int) -> None:
        """Returns when `count` transactions wait for a lock, at the gate or behind a transaction that is held there."""
        await self._wait_until(
            f"{count} transactions waiting for a lock",
            "SELECT count(*) >= $1 FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()",
            count,
        )

    async def cut_off(self) -> None:
        """Terminates the connections of all that are held at the gate."""
        await self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )

    async def open(self) -> None:
        """Lets through all that wait, and all that arrive later."""
        await self._connection.execute("SELECT pg_advisory_unlock_all()")

    async def _wait_until(self, what: str, question: str, count: int) -> None:
        await eventually_seen(what, lambda: self._connection.fetchval(question, count), within_seconds=_WITHIN_SECONDS)


@asynccontextmanager
async def gate_before(database_url: str, *tables: str, holds: int = _EVERYBODY) -> AsyncIterator[Gate]:
    """A closed gate before every write to any of these tables; only the first `holds` arrivals wait at it. It is opened
    on exit."""
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        await connection.execute("SELECT pg_advisory_lock(1)")
        await connection.execute(_GATEKEEPER)
        for table in tables:
            await connection.execute(
                f"CREATE TRIGGER gate BEFORE INSERT OR UPDATE ON {table}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION wait_at_gate({holds})"
            )
        yield Gate(connection)
    finally:
        await connection.close()
