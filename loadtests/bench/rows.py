"""Whether a table of millions of orders slows applying: `--rows N` measures a fresh database and one that already holds
N orders, turn by turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from random import Random
from typing import Final

import asyncpg

from loadtests.bench import goods
from loadtests.bench.apply import drain
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.stage import Stage

EMPTY: Final = "apply, no orders before"

_EMPTY_DATABASE: Final = "bench_apply"
_FULL_DATABASE: Final = "bench_rows"
_SQL: Final = Path(__file__).parent / "sql"
_CHUNK_ORDERS: Final = 50_000


def full(rows: int) -> str:
    """The name of the series on a table of so many orders."""
    return f"apply, {rows:,} orders before"


class Rows:
    """Series `apply, no orders before` and `apply, N orders before`; both on spread SKUs."""

    name = "rows"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._plan = plan
        self._purchases = goods.two_lines(Random(goods.SEED), goods.SPREAD_SKUS)
        self._filled = False

    def titles(self) -> list[str]:
        filling = [] if self._filled else [f"placing {self._plan.rows:,} orders of the past"]
        return [*filling, EMPTY, full(self._plan.rows)]

    def measure(self) -> Generator[list[Measured]]:
        stage, count = self._stage, self._plan.apply_orders
        if not self._filled:
            asyncio.run(_fill(stage.fresh(_FULL_DATABASE), self._plan.rows, stage.config.mailbox_count))
            self._filled = True
            yield []
        empty = drain(stage, stage.fresh(_EMPTY_DATABASE), self._purchases, count)
        yield [Measured(EMPTY, empty.orders_per_second)]
        later = drain(stage, stage.again(_FULL_DATABASE), self._purchases, count)
        yield [Measured(full(self._plan.rows), later.orders_per_second)]


async def _fill(database_url: str, rows: int, mailbox_count: int) -> None:
    purchase = next(goods.two_lines(Random(goods.SEED), goods.SPREAD_SKUS))
    (sample,) = goods.entries([purchase], mailbox_count)
    # Named like a batch's connection, because the triggers would note a million rows written by hand.
    connection = await asyncpg.connect(database_url, server_settings={"application_name": "bench-batch"})
    try:
        last_seq = await connection.fetchval("SELECT last_seq FROM event_counter")
        place = await connection.prepare((_SQL / "past_orders.sql").read_text())
        for first in range(1, rows + 1, _CHUNK_ORDERS):
            last = min(rows, first + _CHUNK_ORDERS - 1)
            await place.fetch(first, last, rows, last_seq, goods.FIRST_SKU, goods.SPREAD_SKUS, sample.encoded)
        await connection.execute((_SQL / "past_stock.sql").read_text())
        await connection.execute("VACUUM ANALYZE")  # as autovacuum would have done for a table of that size
    finally:
        await connection.close()
