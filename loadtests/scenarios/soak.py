"""The busy day of `mixed`, for half an hour and longer: what grows must stop growing.

With `--watch name=pid,…`, which a system of its own gets by itself, those processes are watched, and the servers of the
settings: memory, open files, tables.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gevent.event import Event

from loadtests.frame import gauges, mix
from loadtests.frame.enact import enact
from loadtests.frame.gauges import Reading
from loadtests.frame.scenario import Outcome
from loadtests.frame.staff import Staff
from loadtests.frame.verdict import Check

SAMPLE_SECONDS = 5.0


class Passerby(mix.Passerby):
    """Looks at a page, or orders something."""


class Regular(mix.Regular):
    """Looks around, orders, looks at old orders, sometimes cancels."""


class Clerk(mix.Clerk):
    """Receives goods."""


class Dashboard(mix.Dashboard):
    """Follows the log."""


class Soak(mix.Mix):
    name = "soak"
    dashboard = Dashboard
    run_time = 1_800
    rate = 20.0
    _readings: Sequence[Reading] = ()

    def during(self, staff: Staff, options: Any, stopping: Event) -> None:
        self._readings = ()
        if not options.watch:
            return
        with tempfile.TemporaryDirectory(prefix="tidegate-soak-") as folder:
            file = Path(options.reports or folder) / "readings.jsonl"
            with gauges.reading(options.watch, SAMPLE_SECONDS, file):
                stopping.wait()
            self._readings = gauges.read(file)

    def check(self, outcome: Outcome) -> Iterable[Check]:
        yield from super().check(outcome)
        yield from gauges.checks(self._readings)


enact(Soak())
