"""The database at one moment, read over several connections, so that Postgres prepares several streams of rows while we
process them.

A stream comes in blocks. A block is small enough for memory whatever its rows hold, and large enough for the round trip
not to matter; the next one is fetched while the last one is processed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, Self

import asyncpg

from runtime.database import PATIENT
from runtime.postgres_types import LearnedConnection

# Rows in one block. The largest ones, orders with the greatest number of lines, take 250 KB each.
BLOCK_ROWS: Final = 64

Block = Sequence[asyncpg.Record]

_PREFER: Final = "SELECT set_config('search_path', $1 || ', ' || current_setting('search_path'), false)"


class Snapshot:
    """Reads what was committed when it was entered, and nothing later; a table that the schema `preferred` has, there.
    An asynchronous context manager."""

    def __init__(self, dsn: str, preferred: str | None = None) -> None:
        self._dsn = dsn
        self._preferred = preferred
        self._open = AsyncExitStack()
        self._free: list[asyncpg.Connection[Any]] = []
        self._name: str | None = None

    async def __aenter__(self) -> Self:
        connection = await self._connect()
        self._name = await connection.fetchval("SELECT pg_export_snapshot()")
        self._free.append(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def row(self, query: str, *arguments: object) -> asyncpg.Record:
        """The one row of a query's result."""
        (row,) = await self.rows(query, *arguments)
        return row

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """All rows of a query that has few."""
        connection = await self._take()
        rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        self._free.append(connection)
        return rows

    async def blocks(self, query: str, *arguments: object) -> AsyncIterator[Block]:
        """The rows of `query` in blocks, through a server-side cursor on a connection of its own until the last of them
        has come: a small shop is read over few connections."""
        connection = await self._take()
        cursor = await connection.cursor(query, *arguments)
        following = asyncio.ensure_future(cursor.fetch(BLOCK_ROWS))
        try:
            while block := await following:
                if len(block) < BLOCK_ROWS:
                    self._free.append(connection)
                    yield block
                    return
                following = asyncio.ensure_future(cursor.fetch(BLOCK_ROWS))
                await asyncio.sleep(0)  # the request is sent before the rows are processed
                yield block
        finally:
            following.cancel()
        self._free.append(connection)

    async def _take(self) -> asyncpg.Connection[Any]:
        return self._free.pop() if self._free else await self._connect()

    async def _connect(self) -> asyncpg.Connection[Any]:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            self._dsn, connection_class=LearnedConnection, server_settings=PATIENT
        )
        self._open.push_async_callback(_close, connection)
        if self._preferred is not None:
            await connection.execute(_PREFER, self._preferred)
        await connection.transaction(isolation="repeatable_read", readonly=True).start()
        if self._name is not None:
            await connection.execute(f"SET TRANSACTION SNAPSHOT '{self._name}'")
        return connection


async def _close(connection: asyncpg.Connection[Any]) -> None:
    """Nothing was written, so closing the connection is enough."""
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        await connection.close()
