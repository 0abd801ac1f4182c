"""Verdicts: thresholds with their reasons, checked against Locust's measurements; and checks of what must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec

PASSED: Final = "passed"
FAILED: Final = "failed"
SKIPPED: Final = "skipped"


class Row(msgspec.Struct, frozen=True):
    """A row of Locust's statistics: its type (`POST`, `OPEN`, `WS`) and its name."""

    method: str
    name: str

    def __str__(self) -> str:
        return f"{self.method} {self.name}"


class Measured(Protocol):
    """The figures of one row, as Locust's StatsEntry has them. Times are in milliseconds."""

    num_requests: int
    num_failures: int

    def get_response_time_percentile(self, percent: float) -> int: ...


Figures = Callable[[Row], Measured]


class Check(msgspec.Struct, frozen=True):
    """One line of the verdict. `because` says why it matters."""

    name: str
    outcome: str
    wanted: str
    measured: str
    because: str

    @property
    def failed(self) -> bool:
        return self.outcome == FAILED


def check(name: str, holds: bool, *, wanted: str, measured: str, because: str) -> Check:
    """The result of a check."""
    return Check(name, PASSED if holds else FAILED, wanted, measured, because)


def skipped(name: str, why: str) -> Check:
    """A check that could not be made, and why not."""
    return Check(name, SKIPPED, "", why, "")


class Latency(msgspec.Struct, frozen=True):
    """At least `percent` (0..100) of a row's answers took no longer than this. A row without any has failed."""

    row: Row
    percent: float
    most_ms: float
    because: str

    def check(self, figures: Figures, slower: float) -> Check:
        """`slower` is the factor by which this machine may be slower than a dedicated one."""
        entry = figures(self.row)
        most_ms = self.most_ms * slower
        value_ms = entry.get_response_time_percentile(self.percent / 100) if entry.num_requests else None
        return check(
            f"p{self.percent:g} of {self.row}",
            value_ms is not None and value_ms <= most_ms,
            wanted=f"at most {most_ms:,.0f} ms",
            measured="never asked" if value_ms is None else f"{value_ms:,.0f} ms",
            because=self.because,
        )


class Failures(msgspec.Struct, frozen=True):
    """At most this share of all requests, or of a row's, failed. A run without requests has failed."""

    most_percent: float
    because: str
    row: Row | None = None

    def check(self, figures: Figures, slower: float) -> Check:
        entry = figures(self.row or ALL)
        share = 100 * entry.num_failures / entry.num_requests if entry.num_requests else 100.0
        return check(
            f"failures of {self.row or 'all requests'}",
            share <= self.most_percent,
            wanted=f"at most {self.most_percent:g} %",
            measured=f"{entry.num_failures:,} of {entry.num_requests:,}",
            because=self.because,
        )


ALL: Final = Row("", "Aggregated")
Threshold = Latency | Failures


class Timed(msgspec.Struct, frozen=True):
    """The final figures of a row; times are in milliseconds."""

    row: str
    requests: int
    failures: int
    p50_ms: int
    p95_ms: int
    p99_ms: int
    p999_ms: int


def timed(row: Row, entry: Measured) -> Timed:
    """A row's figures."""
    at = entry.get_response_time_percentile
    return Timed(str(row), entry.num_requests, entry.num_failures, at(0.5), at(0.95), at(0.99), at(0.999))


class Verdict(msgspec.Struct, frozen=True):
    """The verdict on a run, with `rows` and `figures` (counts by name) for context."""

    scenario: str
    checks: Sequence[Check]
    rows: Sequence[Timed] = ()
    figures: dict[str, int] = {}

    @property
    def passed(self) -> bool:
        """Nothing failed, and something was checked."""
        return not any(each.failed for each in self.checks) and any(each.outcome == PASSED for each in self.checks)


def judged(thresholds: Iterable[Threshold], figures: Figures, slower: float) -> list[Check]:
    """The results of all thresholds."""
    return [threshold.check(figures, slower) for threshold in thresholds]
