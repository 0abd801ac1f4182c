"""The run as its users see it: their scene, when arrivals are due, and their results. Each Locust process has one,
whether it is the only one or a worker; the leading process collects the results of all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import Any, Final

import msgspec
from gevent import GreenletExit
from gevent.event import Event
from locust.env import Environment
from locust.exception import StopUser

from loadtests.frame.arrivals import Arrivals, Stage, since_ms
from loadtests.frame.verdict import Row

LATE_SECONDS: Final = 0.1
CAME_LATE: Final = "arrivals that waited more than 100 ms for a free user"
CUT_OFF: Final = "arrivals that were not answered by the end"
NEVER_BEGUN: Final = "arrivals that were due, and that no user was free to begin"


class Scene(msgspec.Struct, frozen=True):
    """What a process needs for its part of a run. `props` is what the scenario has prepared; `shoppers` and `staff` are
    bearer tokens; `row` is where its arrivals are timed, and `most` the number of its arrivals, if that is bounded."""

    props: dict[str, Any] = {}
    shoppers: Sequence[str] = ()
    staff: Sequence[str] = ()
    row: Row = Row("", "")
    stages: Sequence[Stage] = ()
    most: int | None = None


class Noted(msgspec.Struct):
    """The results of a process: tallies by name, and the records of its subscribers."""

    tallies: Counter[str] = msgspec.field(default_factory=Counter)
    records: list[dict[str, Any]] = msgspec.field(default_factory=list)


class Run:
    """`environment` is Locust's. Times are of `time.perf_counter`."""

    def __init__(self) -> None:
        self.environment: Environment | None = None
        self.stopping = Event()
        """Set when the run ends: everything that waits on it returns."""
        self.on_all_came: Callable[[], None] = lambda: None
        """Called when the last of a bounded number of arrivals has finished."""
        self.endings: list[Callable[[], None]] = []
        """Called when the run ends."""
        self.set(Scene())

    def set(self, scene: Scene) -> None:
        """Starts over, with this scene."""
        self.scene = scene
        self.stopping.clear()
        self.endings.clear()
        self.noted = Noted()
        self.seq = 0
        """The highest seq in any response to this process."""
        self._arrivals = Arrivals(scene.stages, most=scene.most)
        self._begun = 0.0
        self._opened = Event()
        self._away = 0
        self._all_came = False
        self._shoppers = cycle(scene.shoppers or ("",))
        self._staff = cycle(scene.staff or ("",))

    def open(self) -> None:
        """Begins arrivals, once all users are there."""
        if not self._opened.is_set():
            self._begun = time.perf_counter()
            self._opened.set()

    def since_opened(self, moment: float) -> float:
        """The seconds between the beginning of arrivals and a moment."""
        return moment - self._begun

    def opened_for(self) -> float:
        """How many seconds arrivals have been coming; 0 before they do."""
        return self.since_opened(time.perf_counter()) if self._opened.is_set() else 0.0

    def stop(self) -> None:
        """Ends the run. Arrivals that are due but have not begun are timed as having waited until now; leaving them out
        would hide a stall at the end."""
        self.stopping.set()
        now = time.perf_counter() - self._begun
        while self._opened.is_set() and (due := self._arrivals.next()) is not None and due < now:
            self.tally(NEVER_BEGUN)
            self.time(self.scene.row, since_ms(due, now))
        self._opened.set()
        for ending in list(self.endings):
            ending()

    def shopper(self) -> str:
        """The bearer token of the next shopper."""
        return next(self._shoppers)

    def staff(self) -> str:
        """The bearer token of the next member of staff."""
        return next(self._staff)

    def tally(self, name: str, count: int = 1) -> None:
        """Adds to a tally."""
        self.noted.tallies[name] += count

    def time(self, row: Row, milliseconds: float) -> None:
        """Adds a time to a row of Locust's table; not to its total, which counts requests."""
        assert self.environment is not None
        self.environment.stats.get(row.name, row.method).log(milliseconds, 0)  # type: ignore[arg-type]

    @contextmanager
    def arrival(self) -> Iterator[float]:
        """Waits for the next arrival, and times the block from the arrival's intended start, which it yields. Raises
        StopUser if there are no more arrivals."""
        self._opened.wait()
        due = None if self.stopping.is_set() else self._arrivals.next()
        if due is None:
            self._check_all_came()
            raise StopUser
        intended = self._begun + due
        self._away += 1
        try:
            early = intended - time.perf_counter()
            if early > 0 and self.stopping.wait(early):
                raise StopUser
            if -early > LATE_SECONDS:
                self.tally(CAME_LATE)
            try:
                yield intended
            except GreenletExit:
                self.tally(CUT_OFF)  # and timed: it has taken at least that long
                raise
            finally:
                self.time(self.scene.row, since_ms(intended, time.perf_counter()))
        finally:
            self._away -= 1
            self._check_all_came()

    def _check_all_came(self) -> None:
        if self.scene.most is None or self._away or not self._arrivals.over or self._all_came:
            return
        self._all_came = True
        self.on_all_came()


_run: Final = Run()


def the_run() -> Run:
    """The run of this process."""
    return _run
