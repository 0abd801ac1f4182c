"""Heartbeats: every second, each process records that it is alive and what it uses of the machine. So a process that is
dead, or whose event loop is blocked, shows in the metrics, although other processes answer the scrape.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import time
from collections.abc import Callable
from typing import Final

import psutil

from runtime.metrics import exemplars
from runtime.metrics.multiprocess import FOLDER
from runtime.metrics.noted import settle
from runtime.metrics.processes import (
    CPU_SECONDS,
    HEARTBEAT,
    LOOP_LAG_SECONDS,
    MAX_FDS,
    OPEN_FDS,
    PROCESSES,
    PROCESSES_STOPPING,
    RESIDENT_MEMORY_BYTES,
    ROLES,
    START_TIME,
    Role,
    tell_build,
)

Sample = Callable[[], None]
"""Sets a gauge to its current value."""

_TICK_SECONDS: Final = 0.1
_BEAT_SECONDS: Final = 1.0
_MACHINE_SECONDS: Final = 10.0
"""Counting tens of thousands of open files takes a while."""

_log = logging.getLogger(__name__)


class Heartbeat:
    """The heartbeat of this process, which takes the samples at every beat. Start it in the process's event loop."""

    def __init__(self, role: Role, *samples: Sample) -> None:
        self._role = role
        self._samples = samples
        self._beating: asyncio.Task[None] | None = None
        self._process: psutil.Process
        self._cpu_seconds = 0.0

    def start(self) -> None:
        """Starts the heartbeat. Also merges what dead processes have left: without scrapes, nothing else would."""
        self._process = psutil.Process()
        for role in ROLES:
            PROCESSES.labels(role)  # so that a role without processes is 0, not absent
            PROCESSES_STOPPING.labels(role)
        PROCESSES.labels(self._role).set(1)
        START_TIME.labels(self._role).set(self._process.create_time())
        MAX_FDS.labels(self._role).set(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        LOOP_LAG_SECONDS.labels(self._role)
        tell_build()
        self._beat()
        self._beating = asyncio.create_task(self._run())

    def stop(self) -> None:
        """Ends the heartbeat of a process that is about to end; it no longer counts as one of its role."""
        if self._beating is not None:
            self._beating.cancel()
            PROCESSES.labels(self._role).set(0)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        if FOLDER is not None:
            await asyncio.to_thread(FOLDER.merge_dead)
        next_beat = next_look = 0.0
        while True:
            due = loop.time() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            now = loop.time()
            LOOP_LAG_SECONDS.labels(self._role).observe(max(0.0, now - due))
            if now >= next_beat:
                next_beat = now + _BEAT_SECONDS
                self._beat()
            if now >= next_look:
                next_look = now + _MACHINE_SECONDS
                await asyncio.to_thread(self._look_at_machine)

    def _beat(self) -> None:
        HEARTBEAT.labels(self._role).set(time.time())
        used = time.process_time()
        CPU_SECONDS.labels(self._role).inc(used - self._cpu_seconds)
        self._cpu_seconds = used
        settle()
        exemplars.write()
        for sample in self._samples:
            try:
                sample()
            except Exception:
                _log.exception("a gauge could not be set")

    def _look_at_machine(self) -> None:
        with self._process.oneshot():
            RESIDENT_MEMORY_BYTES.labels(self._role).set(self._process.memory_info().rss)
            OPEN_FDS.labels(self._role).set(self._process.num_fds())
