"""What the benchmarks are to show: each target as a number that follows from the series, what it must be, and what it
aims to be. Against whichever of its opponents was fastest.
"""

from __future__ import annotations

from typing import Final

import msgspec

from loadtests.bench import rows
from loadtests.bench.plan import Results

TIMES: Final = "x"
MILLISECONDS: Final = "ms"


class Target(msgspec.Struct, frozen=True):
    """`value` is None if its series were not measured; `against` is the series it is a ratio to. Of milliseconds, less
    is better; of ratios, more. Without `must` it is there for comparison only.
    """

    what: str
    value: float | None
    unit: str
    must: float | None
    aim: float | None
    against: str | None = None

    @property
    def verdict(self) -> str:
        """`aim` or `must`, whichever is reached; else `missed`, `not measured`, or `for comparison`."""
        if self.value is None:
            return "not measured"
        if self.must is None:
            return "for comparison"
        if self.aim is not None and self._reaches(self.aim):
            return "aim"
        return "must" if self._reaches(self.must) else "missed"

    def _reaches(self, bound: float) -> bool:
        assert self.value is not None
        return self.value < bound if self.unit == MILLISECONDS else self.value >= bound


def targets(results: Results, past_orders: int) -> list[Target]:
    """The project's targets; the one about a large table only if `--rows` asked for it."""
    found = [
        _ratio(results, "apply, spread SKUs, to pgbench's best", "apply spread", "pgbench spread: ", 2, 4),
        _ratio(results, "apply, hot SKUs, to pgbench's best", "apply hot", "pgbench hot: ", 10, 25),
        _ratio(results, "end to end, to the baseline", "end to end: tidegate", "end to end: baseline", 5, 10),
        _ratio(results, "accept (durable 202), to raw ASGI", "accept: gateway", "accept: raw ASGI", 0.10, 0.25),
        Target("unloaded Prefer: wait order, p50", results.median("wait: p50"), MILLISECONDS, 15, 6),
    ]
    if past_orders:
        what = f"apply with {past_orders:,} orders before, to none"
        found.append(_ratio(results, what, rows.full(past_orders), rows.EMPTY, 0.80, None))
    # pgbench's best has no gapless log; beside it, the one that promises what Tidegate does.
    for shape in ("spread", "hot"):
        what = f"apply, {shape} SKUs, to pgbench with a gapless log"
        found.append(_ratio(results, what, f"apply {shape}", f"pgbench {shape}: gapless", None, None))
    return found


def _ratio(results: Results, what: str, ours: str, theirs: str, must: float | None, aim: float | None) -> Target:
    value, best = results.median(ours), results.best(theirs)
    if value is None or best is None:
        return Target(what, None, TIMES, must, aim)
    against, opponent = best
    return Target(what, value / opponent, TIMES, must, aim, against)
