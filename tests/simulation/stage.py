"""The stage: an event loop on which nothing happens by chance. Everything that a process asks of Postgres or Redis is a
turn. Turns wait until every process stands still, and then the seed grants one: it alone is carried out, on the real
server, to its end or until it waits for a lock. Time is the stage's own: it passes a little with each turn, and jumps
to the next timer when nobody waits for a turn. So what is done first, what comes in between, and what breaks where
depends on the seed alone, and the same seed does the same again.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import selectors
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from contextvars import Context
from random import Random
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, cast
from unittest.mock import patch

from tests.simulation.turns import Crash, Process, Stuck, Task, Turn

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.wires import Wire

_T = TypeVar("_T")

# A quiet morning; the same for every world.
_MONOTONIC_START: Final = 1_000.0
_UNIX_START: Final = 1_700_000_000.0

# How long a round trip takes, on an average, in seconds of the stage.
_ROUND_TRIP_SECONDS: Final = 0.0005

# In seconds of this machine: how often to look whether a turn is done or waits for a lock, and when to give up.
_LOOK_SECONDS: Final = 0.003
_HANGS_SECONDS: Final = 60.0

_monotonic = time.monotonic


class Director(Protocol):
    """Decides what breaks."""

    def before(self, turn: Turn) -> bool:
        """Called before a turn is granted, which it may spoil. Whether it is to be granted now."""


class _Selector(selectors.DefaultSelector):
    stage: Stage

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout <= 0 and not self.stage.is_over:
            return []  # first everybody goes on as far as it can: when an answer comes in must make no difference
        return self.stage.stand_still(super().select, timeout)


class _Loop(asyncio.SelectorEventLoop):
    stage: Stage

    def time(self) -> float:
        return self.stage.now


class Stage:
    """One run of one seed."""

    def __init__(self, seed: int, server: Server, tell: Callable[[str], None] | None = None) -> None:
        """`tell` gets everything that happens, as lines of text."""
        self.random = Random(seed)
        self.now = _MONOTONIC_START
        self.nobody = Process("the world", 0)
        self.director: Director | None = None
        self.wires: list[Wire] = []
        """The open connections to Postgres."""
        self.server = server
        self.is_over = False
        self.turns = 0
        self._digest = hashlib.blake2b(digest_size=8)
        self._tell = tell
        self._waiting: list[Turn] = []
        self._running: list[Turn] = []
        self._leaving: list[Wire] = []
        """Their ends have yet to be heard, one after the other."""
        self._giving_up: list[Wire] = []
        """They have been asked to, and their answers are to be heard before anything else happens."""
        self._look_at_locks = False
        self._tasks: list[Task] = []
        """All of them, so that none is ever collected as garbage, at a time that depends on the machine."""
        self._main: asyncio.Task[Any] | None = None
        self._failure: AssertionError | None = None
        selector = _Selector()
        selector.stage = self
        self.loop = _Loop.__new__(_Loop)
        self.loop.stage = self
        _Loop.__init__(self.loop, selector)
        self.loop.set_task_factory(self._make_task)

    @property
    def digest(self) -> str:
        """Stands for everything that has happened."""
        return self._digest.hexdigest()

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Runs it to its end, and whatever it has begun with it. Raises what it raises, or Stuck."""
        try:
            with self._own_time(), asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._to_the_end(main))
        except asyncio.CancelledError:
            if self._failure is None:
                raise
            raise self._failure from None
        finally:
            asyncio.set_event_loop(None)

    async def _to_the_end(self, main: Coroutine[Any, Any, None]) -> None:
        self._main = asyncio.current_task()
        try:
            await main
        finally:
            self._end()

    def _end(self) -> None:
        self.is_over = True
        for turn in self._waiting:
            if not turn.granted.done():
                turn.granted.set_exception(Crash())

    @contextmanager
    def _own_time(self) -> Generator[None, None, None]:
        def unix() -> float:
            return _UNIX_START + self.now - _MONOTONIC_START

        with (
            patch("time.monotonic", lambda: self.now),
            patch("time.time", unix),
            patch("time.time_ns", lambda: int(unix() * 1e9)),
            patch("os.urandom", Random(self.random.random()).randbytes),
            patch("runtime.entropy._stock", list[int]()),
        ):
            random.seed(self.random.random())
            gc.collect()
            gc.disable()  # what is collected may have something to say, and when depends on the machine
            try:
                yield
            finally:
                gc.enable()

    @property
    def unix_milliseconds(self) -> int:
        """The stage's time, as a date."""
        return int((_UNIX_START + self.now - _MONOTONIC_START) * 1_000)

    # Processes.

    def begin(self, process: Process, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """A task of that process."""
        task = cast(Task, self.loop.create_task(work))
        task.process, task.within = process, None
        return task

    def kill(self, process: Process) -> None:
        """From now on it does nothing. What Postgres is doing for it at the moment is done all the same."""
        self.note(f"{process} is killed")
        process.dead = True
        busy = [turn.wire for turn in self._running]
        self.hang_up([wire for wire in self.wires if wire.process is process and wire not in busy])

    def hang_up(self, wires: list[Wire]) -> None:
        """Ends connections from this side, as the end of a process does; Postgres rolls back what was not committed."""
        for wire in wires:
            wire.hear(True)
            wire.connection.terminate()
            self.server.wait_until_gone([wire.pid])
        self._look_at_locks = True

    def cut(self, wires: list[Wire]) -> None:
        """Has Postgres end connections."""
        for wire in wires:
            wire.hear(False)
        self.server.terminate([wire.pid for wire in wires])
        self._leaving += wires
        self._look_at_locks = True

    def give_up(self, pid: int) -> None:
        """Has Postgres cancel what a connection asked for, which waits for a lock: nothing else is ever cancelled."""
        (wire,) = (wire for wire in self.wires if wire.pid == pid)
        self.server.cancel(pid)
        until = _monotonic() + _HANGS_SECONDS
        while not wire.has_answer():
            assert _monotonic() < until, f"{pid} does not give up"
        self._giving_up.append(wire)
        self._look_at_locks = True

    # Turns.

    async def turn(
        self,
        what: str,
        perform: Callable[[Turn], Awaitable[_T]],
        lost: Callable[[Turn], BaseException],
        wire: Wire | None = None,
        tables: frozenset[str] = frozenset(),
    ) -> _T:
        """Carries it out when it is this task's turn. `lost` makes the error of a connection that was cut."""
        task = cast(Task, asyncio.current_task())
        if task.within is not None and task.within.running:
            return await perform(task.within)  # a part of that
        turn = Turn(task.process, what, self.loop.create_future(), wire, tables)
        if self.is_over:
            raise Crash
        self._waiting.append(turn)
        try:
            await turn.granted
            task.within = turn
            if turn.cut_at == 0:
                raise lost(turn)
            result = await perform(turn)
        except Exception as error:
            self.note(f"{turn}: {type(error).__name__}")
            raise
        finally:
            task.within = None
            turn.running = False
            if turn.locked and wire is not None:
                wire.hear(True)  # it was cancelled
            if turn in self._waiting:
                self._waiting.remove(turn)
            if turn in self._running:
                self._running.remove(turn)
            self._look_at_locks = True
        if isinstance(result, list):
            self.note(f"{len(result)} answers")
        if turn.dies_after:
            self.kill(turn.process)
        if turn.process.dead:
            if wire is not None:
                self.hang_up([wire])
            await self.loop.create_future()
        if turn.cut_at is not None:
            raise lost(turn)
        return result

    def note(self, line: str) -> None:
        """Adds to what has happened; it may only depend on the seed."""
        self._digest.update(line.encode())
        if self._tell is not None:
            self._tell(f"{self.now - _MONOTONIC_START:9.4f}  {line}")

    def stand_still(self, poll: Callable[[float], Any], timeout: float | None) -> Any:
        """Called when no task can go on by itself: waits for the turn that was granted, or grants one, or lets time
        pass."""
        if self.is_over:
            self.now += timeout or 0.0
            return poll(0)
        if events := poll(0):
            return events
        try:
            return self._stand_still(poll, timeout)
        except AssertionError as error:
            self._failure = error
            self._end()
            assert self._main is not None
            self._main.cancel()
            return []

    def _stand_still(self, poll: Callable[[float], Any], timeout: float | None) -> Any:
        if self._is_listening():
            return poll(_LOOK_SECONDS)
        until = _monotonic() + _HANGS_SECONDS
        while busy := [turn for turn in self._running if not turn.locked]:
            if events := poll(_LOOK_SECONDS):
                return events
            self._see_who_is_locked(busy)
            assert _monotonic() < until, f"hangs: {', '.join(map(str, busy))}"
        if self._look_at_locks and self._running:
            self._look_at_locks = False
            self._let_one_go_on(self._running)
            return []
        self._go_on(timeout)
        return []

    def _is_listening(self) -> bool:
        """Whether there is something that must be heard before anything else happens. Where connections have ended, for
        any reason, Postgres has then released their locks."""
        self._giving_up = [wire for wire in self._giving_up if wire.has_answer()]
        self._leaving = [wire for wire in self._leaving if not wire.connection.is_closed()]
        if self._leaving:
            self._leaving[0].hear(True)
        elif ended := [wire for wire in self.wires if wire.connection.is_closed()]:
            self.server.terminate([wire.pid for wire in ended])
            self.wires = [wire for wire in self.wires if wire not in ended]
            self._look_at_locks = True
        return bool(self._giving_up or self._leaving)

    def _see_who_is_locked(self, turns: list[Turn]) -> None:
        of_postgres = {turn.wire.pid: turn for turn in turns if turn.wire is not None and not turn.wire.gives_way}
        if not of_postgres:
            return
        everybody = [turn.wire.pid for turn in self._running if turn.wire is not None]
        for pid, by in self.server.locked(everybody).items():
            if turn := of_postgres.get(pid):
                assert turn.wire is not None
                turn.locked, turn.held_up_by = True, by
                turn.wire.hear(False)
                self.note(f"{turn} waits for a lock")

    def _let_one_go_on(self, turns: Sequence[Turn]) -> None:
        """Has the first of those that waited for a lock hear its answer, if there is one. Postgres has decided that
        when each has one, or waits again."""
        locked = [(turn, turn.wire) for turn in turns if turn.wire is not None]
        until = _monotonic() + _HANGS_SECONDS
        while True:
            answered = [(turn, wire) for turn, wire in locked if wire.has_answer()]
            waiting = self.server.locked([wire.pid for _, wire in locked])
            if all((turn, wire) in answered or wire.pid in waiting for turn, wire in locked):
                break
            assert _monotonic() < until, f"hangs: {', '.join(map(str, turns))}"
        for turn, wire in locked:
            turn.held_up_by = waiting.get(wire.pid, [])
        if answered:
            turn, wire = answered[0]
            turn.locked = False
            wire.hear(True)
            self.note(f"{turn} had its lock")

    def _go_on(self, timeout: float | None) -> None:
        ready = self._ready(timeout)
        if not ready:
            if timeout is None:
                raise Stuck(f"everybody waits: {', '.join(map(str, [*self._waiting, *self._running]))}")
            self.now += timeout
            return
        self.now += self.random.expovariate(1 / _ROUND_TRIP_SECONDS)
        turn = self.random.choice(ready)
        if self.director is not None and not self.director.before(turn):
            return
        self.turns += 1
        self.note(str(turn))
        self.server.tell_time(self.unix_milliseconds)
        turn.running = True
        self._waiting.remove(turn)
        self._running.append(turn)
        turn.granted.set_result(None)

    def _ready(self, timeout: float | None) -> list[Turn]:
        """The turns of which one is granted next. Of several that wait for one row, which gets it is up to the machine:
        so while a turn waits for a lock, another that writes there, too, comes only when nothing else does, and is that
        of who holds the lock."""
        ready = [
            turn for turn in self._waiting if not (turn.process.dead or turn.process.is_stopped or turn.granted.done())
        ]
        contended = {table for turn in self._running for table in turn.tables}
        if free := [turn for turn in ready if contended.isdisjoint(turn.tables)]:
            return free
        holders = {pid for turn in self._running for pid in turn.held_up_by}
        holding = [turn for turn in ready if turn.wire is not None and turn.wire.pid in holders]
        return holding if holding or timeout is not None else ready

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, *, context: Context | None = None) -> Task:
        task = Task(coro, loop=loop, context=context, number=len(self._tasks), nobody=self.nobody)
        self._tasks.append(task)
        return task
