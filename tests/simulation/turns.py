"""Who does what on the stage: processes, their tasks, and the turns that they take."""

from __future__ import annotations

import asyncio
from contextvars import Context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.wires import Wire


class Crash(BaseException):
    """The process is dead. No error handler may see this, as none would see a SIGKILL."""


class Stuck(AssertionError):
    """Everybody waits for somebody else."""


class Process:
    """One process of the system: what dies or stops together. `number` tells those of one name apart."""

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.dead = False
        self.is_stopped = False
        self.stops = 0
        """How often it was stopped so far."""

    def __str__(self) -> str:
        return f"{self.name} {self.number}"


class Turn:
    """Something that a process asks of a server. `wire` is the connection to Postgres, if it is one that is open;
    `tables` are those in which it locks rows."""

    def __init__(
        self, process: Process, what: str, granted: asyncio.Future[None], wire: Wire | None, tables: frozenset[str]
    ) -> None:
        self.process = process
        self.what = what
        self.granted = granted
        self.wire = wire
        self.tables = tables
        self.running = False
        self.locked = False
        """Whether it waits for a lock."""
        self.held_up_by: list[int] = []
        """The backends that it waits for."""
        self.cut_at: float | None = None
        """The connection is lost when so much of it is done, from 0 to 1; None if it is not."""
        self.dies_after = False
        """Whether its process is killed once it is done."""

    def __str__(self) -> str:
        return f"{self.process}: {self.what}"


class Task(asyncio.Task[Any]):
    """A task of a process, that of the task which began it. Its hash is its number, so that sets of tasks have an
    order that depends on nothing else. `within` is the turn that it, or the task which began it, is taking."""

    process: Process
    within: Turn | None

    def __init__(
        self, coro: Any, *, loop: asyncio.AbstractEventLoop, context: Context | None, number: int, nobody: Process
    ) -> None:
        self.number = number
        parent = asyncio.current_task(loop)
        self.process = parent.process if isinstance(parent, Task) else nobody
        self.within = parent.within if isinstance(parent, Task) else None
        super().__init__(coro, loop=loop, context=context)

    def __hash__(self) -> int:
        return self.number
