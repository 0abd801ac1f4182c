"""The expiry of holds: a placed order that is not confirmed in time is expired, by an ordinary command.

It reads orders once they are old enough. Checking their status first saves commands, but the order's mailbox decides: a
confirmation that came first wins. The next page of orders is sent only when the last one has been decided, so that
customers' commands never queue behind a flood of expiries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from uuid import UUID

from domain.orders import PLACED, ExpireOrder, OrderPlaced
from runtime.records import EventRecord
from workers.reactions.commanding import DECIDED_MAX_SECONDS, have_decided
from workers.reactions.core import Reaction, Tools


class Expiry(Reaction):
    """Expires orders `hold_seconds` after they were placed."""

    name = "expiry"
    interests = frozenset({OrderPlaced.type})
    handle_max_seconds: ClassVar[float] = DECIDED_MAX_SECONDS
    handle_max_events: ClassVar[int] = 1_000

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools.config)
        self.delay_seconds = float(tools.config.hold_seconds)
        self._tools = tools

    async def handle(self, record: EventRecord) -> None:
        await self.handle_many([record])

    async def handle_many(self, records: Sequence[EventRecord]) -> None:
        rows = await self._tools.pool.fetch(
            "SELECT id FROM orders WHERE id = ANY($1::uuid[]) AND status = $2",
            [record.subject for record in records],
            PLACED,
        )
        ids = [UUID(int=row["id"].int) for row in rows]
        grace_seconds = self._tools.config.hold_grace_seconds
        await have_decided(
            self._tools, [(f"expire:{order_id}", ExpireOrder(order_id, grace_seconds)) for order_id in ids]
        )
