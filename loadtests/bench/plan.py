"""How long and how often a run of the benchmarks measures, and what a measurement is: a number in a named series.

Every series is measured once a round: first all series once, then all once more. So if the machine is slower for a
minute, that affects different series in different rounds, and the medians ignore it.
"""

from __future__ import annotations

from collections.abc import Generator
from statistics import median
from typing import Final, NamedTuple, Protocol

import msgspec

RATE: Final = "orders/s"


class Plan(msgspec.Struct, frozen=True):
    """`seconds` is how long a rate is measured; `scout_seconds` how long it takes to find the better of two
    settings."""

    rounds: int
    seconds: float
    scout_seconds: float
    apply_orders: int  # in the mailboxes, of two lines
    apply_baskets: int
    waits: int  # orders placed with Prefer: wait, one after the other
    shoppers: int  # who check out at the same time
    searches: int  # among many products, one after the other
    import_rows: int  # of a file that is brought in
    verify_orders: int  # in the log that is verified
    rows: int = 0  # orders in the table beforehand
    sockets: int = 0  # that are open at the same time


FULL: Final = Plan(
    rounds=3,
    seconds=4.0,
    scout_seconds=2.0,
    apply_orders=40_000,
    apply_baskets=7_448,
    waits=200,
    shoppers=64,
    searches=400,
    import_rows=100_000,
    verify_orders=40_000,
)
QUICK: Final = Plan(
    rounds=1,
    seconds=2.0,
    scout_seconds=1.0,
    apply_orders=20_000,
    apply_baskets=3_724,
    waits=100,
    shoppers=16,
    searches=150,
    import_rows=20_000,
    verify_orders=8_000,
)


class Measured(NamedTuple):
    """One number of one series."""

    series: str
    value: float
    unit: str = RATE


class Series(msgspec.Struct):
    """The same thing measured once each round."""

    unit: str
    values: list[float] = msgspec.field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.values)


class Failure(msgspec.Struct, frozen=True):
    """Why a section was dropped, and in which round."""

    section: str
    round: int
    reason: str


class Results:
    """All series by name, in the order of their first measurement, and the sections that failed."""

    def __init__(self) -> None:
        self.series: dict[str, Series] = {}
        self.failures: list[Failure] = []

    def has_failed(self, section: str) -> bool:
        return any(failure.section == section for failure in self.failures)

    def add(self, measured: Measured) -> None:
        self.series.setdefault(measured.series, Series(measured.unit)).values.append(measured.value)

    def median(self, name: str) -> float | None:
        """The median of a series; None if it was not measured."""
        series = self.series.get(name)
        return series.median if series else None

    def best(self, prefix: str) -> tuple[str, float] | None:
        """The name and the median of the fastest series that begins with `prefix`; None if there is none."""
        found = [(series.median, name) for name, series in self.series.items() if name.startswith(prefix)]
        if not found:
            return None
        value, name = max(found)
        return name, value


class Section(Protocol):
    """A group of series that belong together. `name` is what `--only` calls it."""

    name: str

    def titles(self) -> list[str]:
        """What `measure` will measure in one round, one title for each number or group of numbers it yields."""

    def measure(self) -> Generator[list[Measured]]:
        """One round: as many groups as there are titles, in their order."""
