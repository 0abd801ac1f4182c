"""The interface of a scenario; the framework does the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import msgspec
from gevent.event import Event
from locust.argument_parser import LocustArgumentParser

from loadtests.frame.arrivals import Stage
from loadtests.frame.staff import Staff
from loadtests.frame.verdict import Check, Figures, Row, Threshold


class Outcome(msgspec.Struct, frozen=True):
    """The outcome of a run, for a scenario's own checks: `tallies` of all processes, `figures` by row. The run began
    after the seq `since`."""

    staff: Staff
    options: Any
    props: dict[str, Any]
    tallies: Counter[str]
    figures: Figures
    since: int

    def events(self) -> Iterator[dict[str, Any]]:
        """The log from the beginning of the run, read page by page: it may be long."""
        return self.staff.events(self.since)


class Scenario:
    """A load test with a verdict. The `options` of its methods are Locust's parsed options."""

    name: ClassVar[str]
    users: ClassVar[int] = 50
    """Locust's users, unless `--users` says otherwise; for open arrivals, how many may be in flight at once."""
    run_time: ClassVar[int] = 30
    """Seconds, unless `--run-time` says otherwise."""
    rate: ClassVar[float] = 20.0
    """Arrivals a second, unless `--rate` says otherwise."""
    row: ClassVar[Row] = Row("OPEN", "arrival, from its intended start")
    """The row of Locust's table where arrivals are timed."""
    thresholds: ClassVar[Sequence[Threshold]] = ()

    def add_options(self, parser: LocustArgumentParser) -> None:
        """Adds the scenario's own options."""

    def cast(self, options: Any) -> None:
        """Sets the numbers of users of classes with a fixed number."""

    def watchers(self, options: Any) -> int:
        """The number of subscribers."""
        return 0

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        """Prepares the shop for the run, and returns what its users need to know (JSON-ready)."""
        return {}

    def stages(self, options: Any) -> Sequence[Stage]:
        """The rates of arrivals over time."""
        return [Stage(options.rate)]

    def arrivals(self, options: Any) -> int | None:
        """The number of arrivals after which the run ends; None if it ends after its time."""
        return None

    def during(self, staff: Staff, options: Any, stopping: Event) -> None:
        """What the leading process does during the run, besides its users. `stopping` is set when the run ends."""

    def check(self, outcome: Outcome) -> Iterable[Check]:
        """What must hold at the end, besides the thresholds and `verify`."""
        return ()
