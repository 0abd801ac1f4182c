"""Runs the tasks of one background process: takes as many due tasks as each lane has room for. A lane looks for them at
once when the feed reports an event that leads to one that is due, when one is unblocked, and when there is room again
after there was none; and once a second in any case, so that a lost hint only costs time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Sequence
from typing import Final

import msgspec

from domain.tasks import TaskRetried, scheduling_types, tasks_of
from domain.versions import UnknownVersion
from workers.failures import DATABASE_TROUBLE
from workers.headlines import Headline
from workers.tasks.kinds import KINDS, LANES
from workers.tasks.performing import Performer
from workers.tasks.queue import Task

UNBLOCK_SECONDS: Final = 5.0
"""How often to look for tasks that should have been unblocked."""

_log = logging.getLogger(__name__)


class Lane:
    """Runs the tasks of some kinds, at most `size` at a time."""

    def __init__(self, name: str, performer: Performer, *, size: int) -> None:
        self.name = name
        self._performer = performer
        self._size = size
        self._running: set[asyncio.Task[None]] = set()
        self._was_full = False
        self._wanted = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        performer.queue.on_unblocked(self._want_if_ours)

    def start(self) -> None:
        """Starts looking for tasks."""
        self._looking = asyncio.create_task(self._look_whenever_wanted())

    async def stop(self) -> None:
        """Interrupts the runs, which give their leases back."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for run in self._running:
            run.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def want(self) -> None:
        """Makes the lane look for tasks soon."""
        self._wanted.set()

    async def look(self) -> int:
        """Takes and starts as many due tasks as there is room for; returns how many."""
        room = self._size - len(self._running)
        self._was_full = not room
        kinds = [kind.name for kind in KINDS.values() if kind.lane == self.name]
        if not room or not kinds:
            return 0
        asked_at = asyncio.get_running_loop().time()
        claimed = await self._performer.queue.claim(kinds, room)
        self._was_full |= len(claimed) == room
        for task in claimed:
            run = asyncio.create_task(self._run(task, asked_at))
            self._running.add(run)
            run.add_done_callback(self._ended)
        return len(claimed)

    async def idle(self) -> None:
        """Waits until nothing is running."""
        while self._running:
            await asyncio.wait(self._running)

    async def unblock(self) -> None:
        """Unblocks tasks that should have been unblocked."""
        if unblocked := await self._performer.queue.unblock():
            _log.info("%d tasks were blocked although no earlier one was left", unblocked)
            self.want()

    async def _run(self, task: Task, asked_at: float) -> None:
        try:
            await self._performer.run(task, asked_at)
        except Exception:
            _log.exception("the run of %s task %s crashed; waiting for its lease to expire", task.kind, task.id)

    def _ended(self, run: asyncio.Task[None]) -> None:
        self._running.discard(run)
        if self._was_full:
            self.want()

    def _want_if_ours(self, kind: str) -> None:
        if (known := KINDS.get(kind)) is not None and known.lane == self.name:
            self.want()

    async def _look_whenever_wanted(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self.look()
            except DATABASE_TROUBLE as error:
                _log.warning("not looking for %s: Postgres is unavailable (%s)", self.name, type(error).__name__)
            except Exception:
                _log.exception("looking for %s failed", self.name)


class Dispatcher:
    """All lanes of one process."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes
        self._unblocked_at = float("-inf")

    def start(self) -> None:
        for lane in self._lanes:
            lane.start()
            lane.want()

    async def stop(self) -> None:
        await asyncio.gather(*(lane.stop() for lane in self._lanes))

    def hear(self, headlines: Sequence[Headline]) -> None:
        """Called with newly committed events."""
        lanes = {lane for headline in headlines if headline.type in _TYPES for lane in _lanes_of(headline)}
        for lane in self._lanes:
            if lane.name in lanes:
                lane.want()

    async def tend(self) -> None:
        """Makes every lane look for tasks; now and then, unblocks tasks that should have been unblocked."""
        for lane in self._lanes:
            lane.want()
        if time.monotonic() - self._unblocked_at > UNBLOCK_SECONDS:
            self._unblocked_at = time.monotonic()
            try:
                await self._lanes[0].unblock()
            except DATABASE_TROUBLE as error:
                _log.warning("not unblocking tasks: Postgres is unavailable (%s)", type(error).__name__)


_TYPES: Final = scheduling_types() | {TaskRetried.type}


def _lanes_of(headline: Headline) -> Collection[str]:
    """The lanes of the tasks that are due because of an event; all of them, if it is of a later release."""
    try:
        event = headline.event()
    except (UnknownVersion, msgspec.MsgspecError):
        return LANES
    if isinstance(event, TaskRetried):
        kinds = {event.kind}
    else:
        kinds = {task.kind for task in tasks_of(event) if not task.after_seconds}
    return {KINDS[kind].lane for kind in kinds & KINDS.keys()}
