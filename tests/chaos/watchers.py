"""Subscribers who follow the whole log over WebSockets, and resume where they were cut off."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Any, Final, Self

import aiohttp

from tests.system import System

_WATCHERS: Final = 4
_AGAIN_SECONDS: Final = (0.05, 0.5)
_SILENCE_SECONDS: Final = 5.0


class Watcher:
    """One of them, and all that it was told."""

    def __init__(self, system: System, http: aiohttp.ClientSession, random: Random) -> None:
        self.events: list[dict[str, Any]] = []
        self.resumed = 0
        self._url = f"{system.url}/ws"
        self._token = system.token("staff")
        self._http = http
        self._random = random

    @property
    def seq(self) -> int:
        """Of the last event; 0 before the first."""
        return self.events[-1]["seq"] if self.events else 0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            # Whatever ended it, whoever follows a feed comes back.
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                await self._follow()
            self.resumed += 1
            await asyncio.sleep(self._random.uniform(*_AGAIN_SECONDS))

    async def _follow(self) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._http.ws_connect(self._url, headers=headers, max_msg_size=0, heartbeat=_SILENCE_SECONDS) as raw:
            await raw.send_str(
                json.dumps({"type": "subscribe", "topics": ["log"], "after": self.seq, "subscription": "all"})
            )
            async for frame in raw:
                if frame.type is not aiohttp.WSMsgType.TEXT:
                    return
                message = json.loads(frame.data)
                if message["type"] == "events":
                    self.events += message["events"]
                elif message["type"] == "error":
                    return


class Watchers:
    """`async with Watchers(system, random) as watchers:` has them watch until the block ends."""

    def __init__(self, system: System, random: Random) -> None:
        self._system = system
        self._random = random
        self.all: list[Watcher] = []
        self._http: aiohttp.ClientSession
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession()
        self.all = [Watcher(self._system, self._http, self._random) for _ in range(_WATCHERS)]
        self._tasks = [asyncio.create_task(watcher.watch()) for watcher in self.all]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()

    async def have(self, seq: int) -> bool:
        """Whether each has come to this event."""
        return all(watcher.seq >= seq for watcher in self.all)
