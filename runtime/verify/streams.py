"""Rows of a query as they come, some thousand at a time, and groups of rows that share a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg

_PREFETCH_ROWS: Final = 5_000


async def stream(connection: asyncpg.Connection[Any], query: str, *arguments: object) -> AsyncIterator[asyncpg.Record]:
    """The rows of `query`, through a server-side cursor."""
    async for row in connection.cursor(query, *arguments, prefetch=_PREFETCH_ROWS):
        yield row


class Groups:
    """A stream of rows sorted by their first column, taken group by group alongside other streams."""

    def __init__(self, rows: AsyncIterator[asyncpg.Record]) -> None:
        self._rows = rows
        self._next: asyncpg.Record | None = None
        self._begun = False

    async def key(self) -> Any:
        """The key of the next group; None at the end."""
        if not self._begun:
            self._begun = True
            self._next = await anext(self._rows, None)
        return None if self._next is None else self._next[0]

    async def take(self, key: Any) -> list[asyncpg.Record]:
        """The rows of the next group if its key is `key`, else none."""
        group = []
        while await self.key() == key and self._next is not None:
            group.append(self._next)
            self._next = await anext(self._rows, None)
        return group
