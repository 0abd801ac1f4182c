"""A system that can be broken in every way of `tests.chaos.plan`, and be healed again.

Its processes reach the servers through proxies, which forget, cut and delay, and have a clock that can be moved (see
`tests.chaos.inside`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from types import MappingProxyType
from typing import Any, Final

import asyncpg
import psutil

from ops.embedded.server import EmbeddedServer
from runtime.database import LOST_CONNECTION, asyncpg_dsn
from tests.chaos import inside
from tests.chaos.inside import clock
from tests.chaos.plan import PROCESSES, SERVERS, Fault
from tests.proxy import Proxy
from tests.system import System

_READY_WITHIN_SECONDS: Final = 60.0
_CATCH_WITHIN_SECONDS: Final = 3.0
_CATCH_LOOK_SECONDS: Final = 0.002

_HAS_RESULT: Final = """
    SELECT EXISTS (SELECT FROM tasks t JOIN commands c
        ON c.principal = 'tidegate:tasks' AND split_part(c.idempotency_key, ':', 1) = t.id::text)
"""


class BreakableSystem(System):
    """A context manager, as every System."""

    def __init__(self, settings: Mapping[str, str] = MappingProxyType({}), bug: str | None = None) -> None:
        """`bug` is one of `tests.chaos.inside.bugs`."""
        super().__init__(settings)
        self._bug = bug
        self._proxies: dict[str, Proxy] = {}
        self._stack = ExitStack()
        self._locks = {target: asyncio.Lock() for target in (*PROCESSES, *SERVERS, "all")}
        self._stopped: set[int] = set()
        self._clock = self.home / "clock"

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        for server in (self.postgres, self.valkey):
            self._proxies[server.name] = self._stack.enter_context(Proxy(server.port))
        self.home.mkdir(parents=True, exist_ok=True)
        clock.write(self._clock, 0.0)
        try:
            super().start(check)
        except BaseException:
            self._stack.close()
            raise

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self._stack.close()

    @property
    def process_environment(self) -> dict[str, str]:
        """They reach the servers by our ways, and have our clock; the auditor and verify do not."""
        return {
            **inside.spoiled(super().process_environment, self._bug),
            "DATABASE_URL": self._proxies["postgres"].leads_to(self.postgres.url),
            "REDIS_URL": self._proxies["valkey"].leads_to(self.valkey.url),
            inside.CLOCK: str(self._clock),
        }

    async def suffer(self, fault: Fault) -> None:
        """Breaks what the fault says, and mends it when that is over."""
        async with self._locks[fault.target]:
            await _WAYS[fault.what](self, fault)

    async def heal(self) -> None:
        """Everything runs again, undisturbed. Faults must be over."""
        clock.write(self._clock, 0.0)
        _signal(self._stopped, signal.SIGCONT)
        for proxy in self._proxies.values():
            proxy.delay_seconds = 0.0
        await asyncio.to_thread(
            self._processes.wait_until_ready, "127.0.0.1", self.port, within_seconds=_READY_WITHIN_SECONDS
        )

    async def _kill(self, fault: Fault) -> None:
        if fault.target in PROCESSES:
            await asyncio.to_thread(self.kill_process, fault.target)
            await asyncio.sleep(fault.lasts)
            await asyncio.to_thread(self.start_process, fault.target)
        else:
            server = self._server(fault.target)
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(fault.lasts)
            await asyncio.to_thread(server.start)

    async def _kill_one(self, fault: Fault) -> None:
        _signal(self._some(fault.target), signal.SIGKILL)

    async def _stop_one(self, fault: Fault) -> None:
        pids = [self.valkey.pid] if fault.target == "valkey" else self._some(fault.target)
        self._stopped.update(pids)
        _signal(pids, signal.SIGSTOP)
        await asyncio.sleep(fault.lasts)
        _signal(pids, signal.SIGCONT)

    async def _catch(self, fault: Fault) -> None:
        """Stops a background process between the result of a task and its end, if one comes there soon."""
        pids = self._some(fault.target)
        self._stopped.update(pids)
        until = time.monotonic() + _CATCH_WITHIN_SECONDS
        try:
            connection = await asyncpg.connect(asyncpg_dsn(self.postgres.url))
            try:
                while not (caught := await self._is_between(connection, pids)) and time.monotonic() < until:
                    await asyncio.sleep(_CATCH_LOOK_SECONDS)
            finally:
                connection.terminate()
            if caught:
                await asyncio.sleep(fault.lasts)
        except LOST_CONNECTION:
            pass  # somebody else breaks Postgres
        finally:
            _signal(pids, signal.SIGCONT)

    @staticmethod
    async def _is_between(connection: asyncpg.Connection[Any], pids: Sequence[int]) -> bool:
        """Whether they are stopped there now: after the signal it must still be so."""
        if not await connection.fetchval(_HAS_RESULT):
            return False
        _signal(pids, signal.SIGSTOP)
        if await connection.fetchval(_HAS_RESULT):
            return True
        _signal(pids, signal.SIGCONT)
        return False

    async def _restart(self, fault: Fault) -> None:
        """As a deploy does it."""
        if fault.target in PROCESSES:
            await asyncio.to_thread(self.stop_process, fault.target)
            await asyncio.to_thread(self.start_process, fault.target)
        else:
            server = self._server(fault.target)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)

    async def _cut(self, fault: Fault) -> None:
        await asyncio.to_thread(self._proxies[fault.target].cut)

    async def _lose(self, fault: Fault) -> None:
        await asyncio.to_thread(self._proxies[fault.target].forget)

    async def _slow(self, fault: Fault) -> None:
        """As with a disk that takes its time: each answer comes later."""
        proxy = self._proxies[fault.target]
        proxy.delay_seconds = fault.amount
        await asyncio.sleep(fault.lasts)
        proxy.delay_seconds = 0.0

    async def _jump(self, fault: Fault) -> None:
        clock.write(self._clock, fault.amount)
        await asyncio.sleep(fault.lasts)
        clock.write(self._clock, 0.0)

    def _server(self, name: str) -> EmbeddedServer:
        return {"postgres": self.postgres, "valkey": self.valkey}[name]

    def _some(self, name: str) -> list[int]:
        """The first of the processes that the one of this name leads; none if it is being started."""
        with suppress(psutil.NoSuchProcess):
            return self._led_by(name)[:1]
        return []


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


_WAYS: Final = {
    "kill": BreakableSystem._kill,
    "kill one": BreakableSystem._kill_one,
    "stop one": BreakableSystem._stop_one,
    "catch": BreakableSystem._catch,
    "restart": BreakableSystem._restart,
    "cut": BreakableSystem._cut,
    "forget": BreakableSystem._lose,
    "slow": BreakableSystem._slow,
    "clock": BreakableSystem._jump,
}
