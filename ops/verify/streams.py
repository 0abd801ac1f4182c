"""Rows of a query as they come, a block at a time, and groups of rows that share a key.

A block is small enough for memory whatever its rows hold, and large enough for the way to Postgres and back not to
matter.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import asyncpg

# Rows of one block. The largest there are, orders with as many lines as one may have, take 250 KB each.
BLOCK_ROWS: Final = 128

Block = Sequence[asyncpg.Record]


async def blocks(connection: asyncpg.Connection[Any], query: str, *arguments: object) -> AsyncIterator[Block]:
    """The rows of `query` in blocks, through a server-side cursor. It needs a transaction."""
    cursor = await connection.cursor(query, *arguments)
    while block := await cursor.fetch(BLOCK_ROWS):
        yield block


class Groups:
    """A stream of rows sorted by their first column, taken group by group alongside other streams."""

    def __init__(self, rows: AsyncIterator[Block]) -> None:
        self._blocks = rows
        self._block: Block = ()
        self._at = 0

    async def key(self) -> Any:
        """The key of the next group; None at the end."""
        if self._at == len(self._block):
            # No tuple as default: CPython 3.11 takes an empty one for the arguments of the StopIteration it raises.
            self._block, self._at = await anext(self._blocks, []), 0
        return self._block[self._at][0] if self._block else None

    async def runs(self, key: Any) -> AsyncIterator[Block]:
        """The rows of the next group if its key is `key`, else none: run after run, so that a group may be of any
        length."""
        while await self.key() == key and self._block:
            first, end = self._at, len(self._block)
            while self._at < end and self._block[self._at][0] == key:
                self._at += 1
            yield self._block[first : self._at]

    async def take(self, key: Any) -> list[asyncpg.Record]:
        """The same all at once, of groups that are short."""
        return [row async for run in self.runs(key) for row in run]
