"""Turns at reading the past of the log, so that replays, however many, leave capacity on the database and the event
loop.
Replays of the whole log take turns, one page at a time, at a bounded number of events per second. A replay of few
events, found by an index, does not wait for them. Long replays are limited in number, overall and per principal.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from gateway.server.rate import Allowance

PAGES_AT_A_TIME: Final = 2
"""At most one of them is of the whole log. The other database connections are left for other work."""

_BURST_SECONDS: Final = 1.0


class TooManyReplays(Exception):
    """Too many replays are running to begin another; the text says whose."""


class Replay:
    """The right to one long replay. Ending it twice does no harm."""

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
    """The turns of one process."""

    def __init__(self, *, replays_max: int, replays_max_per_principal: int, events_per_second: float) -> None:
        self._replays_max = replays_max
        self._replays_max_per_principal = replays_max_per_principal
        self._under_way: Counter[str] = Counter()
        self._pages = asyncio.Semaphore(PAGES_AT_A_TIME)
        self._whole_log = asyncio.Lock()
        self._events = Allowance(events_per_second, burst=events_per_second * _BURST_SECONDS)

    def begin(self, principal: str) -> Replay:
        """Counts a long replay. Raises TooManyReplays."""
        if self._under_way.total() >= self._replays_max:
            raise TooManyReplays("Too many replays are running; try again later.")
        if self._under_way[principal] >= self._replays_max_per_principal:
            raise TooManyReplays("Too many of your replays are running; try again when one has finished.")
        self._under_way[principal] += 1
        return Replay(self, principal)

    def free(self, principal: str) -> None:
        """One of their replays has ended."""
        self._under_way[principal] -= 1
        if not self._under_way[principal]:
            del self._under_way[principal]

    @asynccontextmanager
    async def turn(self, *, whole_log: bool) -> AsyncIterator[None]:
        """Waits for the right to read one page; first come, first served."""
        async with AsyncExitStack() as stack:
            if whole_log:
                await stack.enter_async_context(self._whole_log)
                await self._events.until_paid()
            await stack.enter_async_context(self._pages)
            yield

    def spend(self, events: int) -> None:
        """Counts events of the whole log that were read."""
        self._events.spend(events)
