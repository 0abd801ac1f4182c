"""The busy day of `mixed`, for half an hour and longer: what grows must stop growing.

With `--watch name=pid,…`, which a system of its own gets by itself, those processes are watched, and the servers of the
settings: memory, open files, tables.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gevent.event import Event

from loadtests.frame import gauges, mix
from loadtests.frame.enact import enact
from loadtests.frame.gauges import Watched
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
    _watched = Watched()

    def during(self, staff: Staff, options: Any, stopping: Event) -> None:
        self._watched = Watched()
        if not options.watch:
            return
        with tempfile.TemporaryDirectory(prefix="tidegate-soak-") as folder:
            file = Path(options.reports or folder) / "readings.jsonl"
            with gauges.reading(options.watch, SAMPLE_SECONDS, file) as reader:
                stopping.wait()
                to_the_end = reader.poll() is None
            self._watched = Watched(gauges.read(file), to_the_end)

    def check(self, outcome: Outcome) -> Iterable[Check]:
        yield from super().check(outcome)
        yield from gauges.checks(outcome.options.watch, self._watched)


enact(Soak())
