"""A dashboard that follows the feed through faults, on the client that we ship: when its connection breaks it
reconnects and resumes after the last event it saw. It fails if an event is missing, repeated or out of order.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import aiohttp

from tests.e2e.ledger import Ledger
from tests.system import System, eventually_seen
from tidegate.client import Feed

_CATCH_UP_SECONDS: Final = 10.0


class Follower:
    """`async with Follower(system) as follower:` follows the log from its current end. `breaks` counts how often an
    established connection ended."""

    def __init__(self, system: System) -> None:
        self.seq = -1
        self._feed: Feed
        self._system = system
        self._following: asyncio.Task[None]

    @property
    def breaks(self) -> int:
        return self._feed.connections - 1

    async def __aenter__(self) -> Self:
        async with Ledger(self._system) as ledger:
            self.seq = await ledger.last_seq()
        self._following = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._following.cancel()
        with suppress(asyncio.CancelledError):
            await self._following

    async def catches_up(self) -> None:
        """Returns when it has seen everything that is committed by now."""
        async with Ledger(self._system) as ledger:
            last = await ledger.last_seq()
        await eventually_seen(f"event {last}", lambda: self._has_seen(last), within_seconds=_CATCH_UP_SECONDS)

    async def _has_seen(self, seq: int) -> bool:
        if self._following.done():
            self._following.result()
        return self.seq >= seq

    async def _follow(self) -> None:
        async with aiohttp.ClientSession() as http:
            self._feed = Feed(http, self._system.url, self._system.token("staff"), ["log"], after=self.seq)
            async for event in self._feed:
                assert event["seq"] == self.seq + 1, f"event {event['seq']} came after {self.seq}"
                self.seq = event["seq"]
