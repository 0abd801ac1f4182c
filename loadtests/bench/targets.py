"""What the benchmarks are to show: each target as a number that follows from the series, and what it must and aims to be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from loadtests.bench.plan import Results


class Target(msgspec.Struct, frozen=True):
    """`value` is None if its series were not measured. Larger is better, but for a limit."""

    what: str
    value: float | None
    must: float
    aim: float
    unit: str
    against: str = ""
    is_limit: bool = False

    @property
    def verdict(self) -> str:
        """`aim`, `must` or `missed`; `not measured` without a value."""
        if self.value is None:
            return "not measured"
        if self._reaches(self.aim):
            return "aim"
        return "must" if self._reaches(self.must) else "missed"

    def _reaches(self, bound: float) -> bool:
        assert self.value is not None
        return self.value < bound if self.is_limit else self.value >= bound


TIMES: Final = "x"


def targets(results: Results, rows: int) -> list[Target]:
    """The project's targets, in its order; that of `--rows` only if it was asked for."""
    found = [
        _to_best(results, "apply, spread SKUs, to pgbench's best", "apply spread", "pgbench spread: ", 2, 4),
        _to_best(results, "apply, one hot pair of SKUs, to pgbench's best", "apply hot", "pgbench hot: ", 10, 25),
        _to_best(
            results,
            "end to end, to the handler that does everything",
            "end to end: tidegate",
            "end to end: baseline",
            5,
            10,
        ),
        _to_best(results, "accept (durable 202), to raw ASGI", "accept: gateway", "accept: raw ASGI", 0.10, 0.25),
        Target("an order with Prefer: wait, p50", results.median("wait: p50"), 15, 6, "ms", is_limit=True),
    ]
    ...
