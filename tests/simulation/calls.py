"""Who is at work on what, outside of the shop: never two at once, unless one of them is dead, was paused, or holds a
lease from before a restore."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, cast

from tests.simulation.turns import Process, Task


class _Call(NamedTuple):
    subject: str
    process: Process
    stops: int
    era: int


class Calls:
    """All of one world. `era` counts how often Postgres was put back: leases of before are not those of today."""

    def __init__(self) -> None:
        self.era = 0
        self.wrong: list[str] = []
        self._now: list[_Call] = []

    @contextmanager
    def about(self, subject: str) -> Iterator[None]:
        """The process of this task is at work on a subject."""
        process = cast(Task, asyncio.current_task()).process
        call = _Call(subject, process, process.stops, self.era)
        for other in self._now:
            alone = other.subject != call.subject or other.process.dead or other.era != call.era
            if not (alone or other.process.stops != other.stops):
                self.wrong.append(f"{process} and {other.process} were at work on {subject} at once")
        self._now.append(call)
        try:
            yield
        finally:
            if not process.dead:
                self._now.remove(call)
