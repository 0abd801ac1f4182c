"""How fast one worker process applies full mailboxes: orders of spread SKUs, of two hot ones, of spread ones with every
tenth asking for something sold out, and the real baskets.

The clock runs from the first batch's moment until the last entry is seen to be applied, so it excludes the worker's
start (as pgbench excludes its connections) and includes everything else: reading the mailboxes, deciding, writing,
committing, publishing to the feed, trimming.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from random import Random
from typing import Final, NamedTuple

from loadtests.bench import goods
from loadtests.bench.goods import Purchase
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.stage import ONE_WORKER, BenchError, Stage, worker

LINES: Final = "lines/s"
SOLD_OUT_EVERY: Final = 10

_DATABASE: Final = "bench_apply"
_PLACED_SINCE: Final = """
    SELECT count(*) AS orders, extract(epoch FROM min(occurred_at))::float8 AS started
    FROM events WHERE seq > $1 AND type = 'order.placed'
"""


class Applied(NamedTuple):
    """One drain of full mailboxes."""

    orders_per_second: float
    lines_per_second: float


class Apply:
    """Series `apply SHAPE`, and `apply real, lines`."""

    name = "apply"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        random = Random(goods.SEED)
        self._shapes: dict[str, tuple[Iterator[Purchase], int]] = {
            "spread": (goods.two_lines(random, goods.SPREAD_SKUS), plan.apply_orders),
            "hot": (goods.two_lines(random, goods.HOT_SKUS), plan.apply_orders),
            "sold out": (
                goods.partly_sold_out(goods.two_lines(random, goods.SPREAD_SKUS), SOLD_OUT_EVERY),
                plan.apply_orders,
            ),
            "real": (goods.real(stage.invoices), plan.apply_baskets),
        }

    def titles(self) -> list[str]:
        return [f"apply {shape}" for shape in self._shapes]

    def measure(self) -> Generator[list[Measured]]:
        for shape, (purchases, count) in self._shapes.items():
            database_url = self._stage.fresh(_DATABASE)
            applied = drain(self._stage, database_url, purchases, count)
            self._stage.verify(database_url)
            measured = [Measured(f"apply {shape}", applied.orders_per_second)]
            if shape == "real":
                measured.append(Measured("apply real, lines", applied.lines_per_second, LINES))
            yield measured


def drain(stage: Stage, database_url: str, purchases: Iterator[Purchase], count: int) -> Applied:
    """Fills the mailboxes with `count` orders and lets one worker process drain them. Checks that all of them were
    placed, except those that ask for something sold out."""
    wanted = list(islice(purchases, count))
    already = stage.entries_applied(database_url)
    last_seq = stage.row(database_url, "SELECT last_seq FROM event_counter")["last_seq"]
    stage.fill(goods.entries(wanted, stage.config.mailbox_count))
    with stage.running(worker(), database_url, ONE_WORKER):
        ended = stage.wait_until_applied(database_url, already + count)
    placed = stage.row(database_url, _PLACED_SINCE, last_seq)
    expected = sum(not purchase.is_sold_out for purchase in wanted)
    if placed["orders"] != expected:
        raise BenchError(f"{placed['orders']} of {expected} orders were placed")
    seconds = ended - placed["started"]
    return Applied(count / seconds, sum(len(purchase.lines) for purchase in wanted) / seconds)
