"""The stock in the live figures: what runs low, and how much is left of what sells fast. Queries Postgres from time to
time, too rarely to be a load, and keeps the last results in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Final

from msgspec.structs import replace
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.realtime.statistics.figures import Minute, RunningLow, Shelf
from gateway.realtime.statistics.pace import Pace
from gateway.views import sales
from gateway.views.sales import OnShelf

LOW_STOCK_MAX: Final = 10
# A SKU that would sell out within this many seconds at its current rate runs low, however many pieces are left.
_URGENT_SECONDS: Final = 300


class ShelfWatch:
    """The last results."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._low: list[OnShelf] = []
        self._counts = 0, 0
        self._known: dict[str, OnShelf] = {}
        self._pace = Pace()

    def knows(self, skus: Collection[str]) -> bool:
        """Whether it has results, and they include all of these."""
        return self._pace.has_looked and self._known.keys() >= set(skus)

    async def look(self, skus: Collection[str]) -> None:
        """Looks up these SKUs, and, if it is time, all of the stock. Raises what a view raises."""
        async with self._engine.connect() as connection:
            self._known = {row.sku: row for row in await sales.on_shelf(connection, skus)} if skus else {}
            if self._pace.is_due():
                with self._pace.looking():
                    self._low = await sales.running_low(connection)
                    self._counts = await sales.count_low(connection)

    def named(self, minute: Minute) -> Minute:
        """The same figures, completed with what is known of their SKUs."""
        known = self._known
        return replace(
            minute,
            top_skus=[
                replace(row, name=known[row.sku].name, available=known[row.sku].available) if row.sku in known else row
                for row in minute.top_skus
            ],
            missed_skus=[
                replace(row, name=known[row.sku].name) if row.sku in known else row for row in minute.missed_skus
            ],
        )

    def low(self, pieces: Callable[[str], int]) -> Shelf:
        """What runs low, the most urgent first; `pieces` says how many of a SKU were ordered in the last minute."""
        fewest = {row.sku for row in self._low}
        rows = [
            RunningLow(row.sku, row.name, row.available, pieces(row.sku))
            for row in {row.sku: row for row in (*self._low, *self._known.values())}.values()
            if row.available > 0
        ]
        rows = [row for row in rows if row.sku in fewest or _seconds_left(row) <= _URGENT_SECONDS]
        rows.sort(key=lambda row: (_seconds_left(row), row.available, row.sku))
        low_skus, sold_out_skus = self._counts
        return Shelf(rows[:LOW_STOCK_MAX], low_skus, sold_out_skus)


def _seconds_left(row: RunningLow) -> float:
    return 60 * row.available / row.pieces if row.pieces else math.inf
