"""Streams of rows sorted by their first column, read in parallel group by group. They wait for Postgres only at the end
of a block: a call for each group would cost more than most groups do.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import asyncpg

from ops.verify.snapshot import Block


class Groups:
    """One such stream. `key` is that of its next group; None before the start and at the end."""

    def __init__(self, rows: AsyncIterator[Block]) -> None:
        self.key: Any = None
        self._blocks = rows
        self._block: Block = ()
        self._at = 0

    async def turn(self) -> None:
        """Goes to the next block; at the start, to the first."""
        # No tuple as default: CPython 3.11 takes an empty one for the arguments of the StopIteration it raises.
        self._block, self._at = await anext(self._blocks, []), 0
        self.key = self._block[0][0] if self._block else None

    async def each(self, key: Any, follow: Callable[[asyncpg.Record], None]) -> None:
        """Calls `follow` with each row of the next group if its key is `key`, else with none. A group may be of any
        length."""
        while self.key == key:
            block, at, end = self._block, self._at, len(self._block)
            while at < end and block[at][0] == key:
                follow(block[at])
                at += 1
            if at == end:
                await self.turn()
            else:
                self._at, self.key = at, block[at][0]

    async def take(self, key: Any) -> list[asyncpg.Record]:
        """The same as one list, for short groups."""
        rows: list[asyncpg.Record] = []
        if self.key == key:
            await self.each(key, rows.append)
        return rows


async def nothing() -> AsyncIterator[Block]:
    """A stream without rows, for what is known to be empty: a query would cost more than those that are."""
    return
    yield


async def started(*streams: AsyncIterator[Block]) -> list[Groups]:
    """The streams, each at its first group."""
    groups = [Groups(stream) for stream in streams]
    for each in groups:
        await each.turn()
    return groups


def least_key(groups: Iterable[Groups]) -> Any:
    """The least of the keys of the next groups; None once all streams have ended."""
    return min((each.key for each in groups if each.key is not None), default=None)
