"""A dashboard that follows `/ws` through faults: when its connection breaks it comes back and resumes behind the last
event it saw. It fails if an event is missing, comes twice, or is out of order.
"""

import asyncio
import json
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import aiohttp

from gateway.sockets import CLOSE_TRY_LATER
from tests.e2e.ledger import Ledger
from tests.system import System, eventually_seen

_RECONNECT_SECONDS: Final = 0.1
_CATCH_UP_SECONDS: Final = 5.0


class Follower:
    """`async with Follower(system) as follower:` follows the log from where it stands. `breaks` counts how often a
    connection ended that had been taken on."""

    def __init__(self, system: System) -> None:
        self.seq = -1
        self.breaks = 0
        self._system = system
        self._following: asyncio.Task[None]

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
        token = self._system.token("staff")
        async with aiohttp.ClientSession() as session:
            while True:
                with suppress(aiohttp.ClientError):
                    url = f"{self._system.url}/ws"
                    async with session.ws_connect(url, params={"token": token, "after": self.seq}) as socket:
                        async for frame in socket:
                            if frame.type is aiohttp.WSMsgType.TEXT:
                                self._take(frame.data)
                        self.breaks += socket.close_code != CLOSE_TRY_LATER
                await asyncio.sleep(_RECONNECT_SECONDS)

    def _take(self, frame: str) -> None:
        for event in json.loads(frame):
            assert event["seq"] == self.seq + 1, f"event {event['seq']} came after {self.seq}"
            self.seq = event["seq"]
