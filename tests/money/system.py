"""A system with a provider that can be told how to misbehave, and whose processes and servers can be killed one by one,
the provider's included."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from random import Random
from types import MappingProxyType
from typing import Any, Final

import aiohttp

from runtime.settings.payments import SANDBOX_SECRET
from tests.chaos import inside
from tests.money.plan import Kill
from tests.system import System, eventually_seen

_READY_WITHIN_SECONDS: Final = 60.0
_AUTHORIZATION: Final = {"Authorization": f"Bearer {SANDBOX_SECRET}"}
_SERVERS: Final = ("postgres", "valkey")

_SHARES: Final = {
    "fail": 0.1,
    "slow": 0.1,
    "lose_request": 0.1,
    "lose_answer": 0.15,
    "hang": 0.03,
    "webhook_twice": 0.3,
    "webhook_lost": 0.2,
    "webhook_late": 0.2,
    "webhook_shuffled": 0.3,
    "webhook_forged": 0.1,
}
"""How much of everything each mood falls on at most."""
_TIMES: Final = {"slow_seconds": 0.3, "hang_seconds": 2.0, "late_seconds": 3.0}


class HostileSystem(System):
    """A context manager, as every System."""

    def __init__(self, settings: Mapping[str, str] = MappingProxyType({}), bug: str | None = None) -> None:
        """`bug` is one of `tests.chaos.inside.moneybugs`."""
        super().__init__(settings, sandbox=True)
        self._bug = bug
        self._mood: dict[str, Any] = {}

    @property
    def process_environment(self) -> dict[str, str]:
        return inside.spoiled(super().process_environment, self._bug)

    async def kill(self, kill: Kill) -> None:
        """Kills it, and starts it again; returns when all is well."""
        server = {"postgres": self.postgres, "valkey": self.valkey}.get(kill.target)
        if server is None:
            await asyncio.to_thread(self.kill_process, kill.target)
        else:
            await asyncio.to_thread(server.kill)
        await asyncio.sleep(kill.lasts)
        if server is None:
            await asyncio.to_thread(self.start_process, kill.target)
        else:
            await asyncio.to_thread(server.start)
        await self.is_whole()

    async def is_whole(self) -> None:
        """Returns when the gateway is ready and the provider is in its mood."""
        await asyncio.to_thread(
            self._processes.wait_until_ready, "127.0.0.1", self.port, within_seconds=_READY_WITHIN_SECONDS
        )
        await eventually_seen("the sandbox", self._is_told, within_seconds=_READY_WITHIN_SECONDS)

    async def turns(self, random: Random) -> None:
        """The provider gets into another mood, which no two runs of a seed share in all: its acts' keys are new."""
        shares = {mood: round(random.uniform(0, most), 3) for mood, most in _SHARES.items()}
        self._mood = {"shares": shares, "seed": random.getrandbits(32), **_TIMES}
        await self.is_whole()

    async def calms_down(self) -> None:
        """Ends the provider's misbehaviour: it does what it is asked, and reports it."""
        self._mood = {}
        await self.is_whole()

    async def tells_nobody(self) -> bool:
        """Whether the provider has told all that it has to tell."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self._sandbox}/health") as answer:
                return bool((await answer.json())["waiting_webhooks"] == 0)
        except aiohttp.ClientError:
            return False

    def provider_s(self, query: str) -> list[Any]:
        """Reads the provider's books, as they are on its disk."""
        with closing(sqlite3.connect(f"file:{self.home / 'sandbox.sqlite3'}?mode=ro", uri=True)) as books:
            return books.execute(query).fetchall()

    @property
    def _sandbox(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    async def _is_told(self) -> bool:
        try:
            async with (
                aiohttp.ClientSession(headers=_AUTHORIZATION) as http,
                http.put(f"{self._sandbox}/control", json=self._mood) as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientError:
            return False
