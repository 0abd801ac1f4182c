"""Turns at the log: however many read its past, they leave the database and the loop to others.

Who wants all of the log takes turns with others who do, one page at a time, so many events a second; who wants a few
events, which indexes find, waits for none of them. Long replays are counted, of all and of one principal.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

PAGES_AT_A_TIME: Final = 2
"""Of which at most one is of the whole log: the database's other connections are for others."""

_BURST_SECONDS: Final = 1.0


class TooManyReplays(Exception):
    """So many replays are under way that this one is not begun; the text says whose."""


class Replay:
    """The right to one long replay. It is given back more than once without harm."""

    __slots__ = ("_turns", "_whose")

    def __init__(self, turns: Turns, whose: str) -> None:
        self._turns: Turns | None = turns
        self._whose = whose

    def end(self) -> None:
        """Makes room for another."""
        turns, self._turns = self._turns, None
        if turns is not None:
            turns.free(self._whose)


class Turns:
    """Whose turn it is, in one process."""

    def __init__(self, *, replays_max: int, replays_max_per_principal: int, events_per_second: float) -> None:
        self._replays_max = replays_max
        self._replays_max_per_principal = replays_max_per_principal
        self._events_per_second = events_per_second
        self._under_way: Counter[str] = Counter()
        self._pages = asyncio.Semaphore(PAGES_AT_A_TIME)
        self._whole_log = asyncio.Lock()
        self._allowed = events_per_second * _BURST_SECONDS
        self._seen_at = time.monotonic()

    def begin(self, principal: str) -> Replay:
        """Counts a long replay. Raises TooManyReplays."""
        if self._under_way.total() >= self._replays_max:
            raise TooManyReplays("Too many replays are under way; try again later.")
        if self._under_way[principal] >= self._replays_max_per_principal:
            raise TooManyReplays("Too many replays of yours are under way; try again when one is done.")
        self._under_way[principal] += 1
        return Replay(self, principal)

    def free(self, principal: str) -> None:
        """A replay of theirs is over."""
        self._under_way[principal] -= 1
        if not self._under_way[principal]:
            del self._under_way[principal]

    @asynccontextmanager
    async def turn(self, *, whole_log: bool) -> AsyncIterator[None]:
        """The right to read one page, in the order in which it was asked for."""
        async with AsyncExitStack() as stack:
            if whole_log:
                await stack.enter_async_context(self._whole_log)
                await self._until_allowed()
            await stack.enter_async_context(self._pages)
            yield

    def spend(self, events: int) -> None:
        """So many events of the whole log were read."""
        self._allowed -= events

    async def _until_allowed(self) -> None:
        """Returns when what was read is paid for."""
        while True:
            now = time.monotonic()
            gained = (now - self._seen_at) * self._events_per_second
            self._allowed = min(self._events_per_second * _BURST_SECONDS, self._allowed + gained)
            self._seen_at = now
            if self._allowed >= 0:
                return
            await asyncio.sleep(-self._allowed / self._events_per_second)
