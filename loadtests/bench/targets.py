"""The targets of the benchmarks: each is a number computed from the series, with the bound that it must reach and the
one that it aims for. Ratios are to the fastest opponent.
"""

from __future__ import annotations

from typing import Final

import msgspec

from loadtests.bench import imports, rows, verify
from loadtests.bench.plan import Results

TIMES: Final = "x"
MILLISECONDS: Final = "ms"
SECONDS: Final = "s"
KILOBYTES: Final = "KB"
MEBIBYTES: Final = verify.MEBIBYTES
DELIVERIES: Final = "deliveries/s"
CHECKOUTS: Final = "checkouts/s"
COST: Final = "x cost"
"""A multiple of the time or CPU of something else."""
PERCENT_OF_A_CORE: Final = "% of a core"
LESS_IS_BETTER: Final = frozenset({MILLISECONDS, SECONDS, KILOBYTES, MEBIBYTES, COST, PERCENT_OF_A_CORE})


class Target(msgspec.Struct, frozen=True):
    """`value` is None if its series were not measured; `against` is the series that it is a ratio to. For time and
    memory, less is better; for everything else, more. Without `must`, it is only for comparison.
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
        return self.value < bound if self.unit in LESS_IS_BETTER else self.value >= bound


def targets(results: Results, past_orders: int) -> list[Target]:
    """The project's targets; the one about a large table only if `--rows` asked for it."""
    found = [
        ratio(results, "apply, spread SKUs, to pgbench's best", "apply spread", "pgbench spread: ", 3, 4),
        ratio(results, "apply, hot SKUs, to pgbench's best", "apply hot", "pgbench hot: ", 13, 25),
        ratio(results, "end to end, to the baseline", "end to end: tidegate", "end to end: baseline", 5, 10),
        ratio(results, "accept (durable 202), to raw ASGI", "accept: gateway", "accept: raw ASGI", 0.22, 0.30),
        ratio(results, "apply, one order in 10 sold out, to none", "apply sold out", "apply spread", 0.8, 0.95),
        Target("unloaded Prefer: wait order, p50", results.median("wait: p50"), MILLISECONDS, 15, 6),
        ratio(results, "the same, to one pgbench client's order", "wait: p50", "wait: pgbench", 4, 3, COST),
        *(
            ratio(
                results,
                f"{clients} waiting clients, to the baseline",
                f"waiting {clients}: tidegate",
                f"waiting {clients}: baseline",
                must,
                aim,
            )
            for clients, must, aim in ((16, 5, 10), (64, 10, 20))
        ),
        ratio(
            results,
            "64 waiting clients, one order in 10 sold out, to none",
            "waiting 64, one in 10 sold out: tidegate",
            "waiting 64: tidegate",
            0.9,
            1.0,
        ),
        ratio(
            results,
            "CPU an order of 64 waiting clients, to that of full mailboxes",
            "CPU an order, 64: tidegate",
            "CPU an order, full mailboxes",
            4,
            2.5,
            COST,
        ),
        ratio(results, "a cached page of 20 products, to raw ASGI", "browse: gateway", "browse: raw ASGI", 0.25, 0.40),
        Target("search among 100,000 products, p95", results.median("search: p95"), MILLISECONDS, 50, None),
        Target("deliveries to 1,000 sockets", results.median("feed: deliveries"), DELIVERIES, 60_000, 200_000),
        ratio(results, "the same burst, to Node's ws", "feed: deliveries", "feed: Node's ws deliveries", 1, 3),
        Target("commit to socket, p99", results.median("feed: commit to socket p99"), MILLISECONDS, 50, 15),
        Target("resume of 100,000 events", results.median("feed: resume of 100,000 events"), SECONDS, 5, 1),
        Target("memory of an idle socket", results.median("feed: memory of an idle socket"), KILOBYTES, 60, 30),
        Target("import of a catalogue", results.median(imports.RATE), imports.ROWS_PER_SECOND, 3_000, 5_000),
        Target("whole checkouts", results.median("checkouts: tidegate"), CHECKOUTS, 300, 1_000),
        Target("their `complete`, p99", results.median("checkouts: complete p99"), MILLISECONDS, 150, 50),
        Target("verify", results.median(verify.RATE), verify.EVENTS_PER_SECOND, 10_000, 20_000),
        Target("peak memory of verify", results.median(verify.MEMORY), MEBIBYTES, 150, None),
        *(
            ratio(
                results,
                f"CPU of an order {what} with metrics, to without",
                f"costs: CPU of an order {what}, counted",
                f"costs: CPU of an order {what}, uncounted",
                1.05,
                1.03,
                COST,
            )
            for what in ("applied", "accepted")
        ),
        *(
            Target(
                f"verifying for ever, at 500 orders/s of {shape}",
                results.median(f"costs: patrol, {shape}"),
                PERCENT_OF_A_CORE,
                3,
                2,
            )
            for shape in ("two lines", "real baskets")
        ),
    ]
    if past_orders:
        what = f"apply with {past_orders:,} orders before, to none"
        found.append(ratio(results, what, rows.full(past_orders), rows.EMPTY, 0.80, None))
    # pgbench's best has no gapless log; the one with Tidegate's guarantees is also compared.
    for shape in ("spread", "hot"):
        what = f"apply, {shape} SKUs, to pgbench with a gapless log"
        found.append(ratio(results, what, f"apply {shape}", f"pgbench {shape}: gapless", None, None))
    return found


def ratio(
    results: Results, what: str, ours: str, theirs: str, must: float | None, aim: float | None, unit: str = TIMES
) -> Target:
    """The median of `ours` to that of the fastest series that begins with `theirs`."""
    value, best = results.median(ours), results.best(theirs)
    if value is None or best is None:
        return Target(what, None, unit, must, aim)
    against, opponent = best
    return Target(what, value / opponent, unit, must, aim, against)
