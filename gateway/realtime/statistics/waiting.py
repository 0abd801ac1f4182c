"""What waits in the live figures: payments that are pending, and checkouts that are open. Queries Postgres from time to
time, and keeps the last result in between.
"""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.realtime.statistics.figures import Waiting
from gateway.realtime.statistics.pace import Pace
from gateway.views.waiting import waits


class WaitingWatch:
    """The last result: `known`, None while Postgres cannot be asked."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._pace = Pace()
        self.known: Waiting | None = None

    async def look_if_due(self) -> None:
        """Looks, if it is time. Raises what a view raises."""
        if self._pace.is_due():
            with self._pace.looking():
                await self.look()

    async def look(self) -> None:
        """Looks now; until that ends, what was known stays. Raises what a view raises."""
        known = None
        try:
            async with self._engine.connect() as connection:
                known = Waiting(*await waits(connection))
        finally:
            self.known = known
