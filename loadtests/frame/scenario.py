"""What a scenario says about itself; the frame does the rest."""

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
    """What a run has come to, for a scenario's own checks: `tallies` of all processes, `figures` by row. The run
    began after the seq `since`."""

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
    """A load test with a verdict. Whatever its methods are given as `options` are Locust's options, parsed."""

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
        """Says how many users of a fixed number there are."""

    def watchers(self, options: Any) -> int:
        """How many subscribers there are."""
        return 0

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        """Brings the shop to where the run begins, and returns what its people need to know (as JSON can say it)."""
        return {}

    def stages(self, options: Any) -> Sequence[Stage]:
        """When arrivals come."""
        return [Stage(options.rate)]

    def arrivals(self, options: Any) -> int | None:
        """After how many arrivals the run is over; None: when its time is."""
        return None

    def during(self, staff: Staff, options: Any, stopping: Event) -> None:
        """What the leading process does while the run goes on, beside its people. `stopping` is set at its end."""

    def check(self, outcome: Outcome) -> Iterable[Check]:
        """What must hold at the end, beside the thresholds and `verify`."""
        return ()
