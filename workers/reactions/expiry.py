"""The expiry of holds: a placed order that is not confirmed in time is expired, by a command like any other.

It reads the placed orders as they become old enough. Looking at their status first saves commands, but the order's
mailbox decides: a confirmation that came first wins. One page of orders must be expired before the next is sent, so
that there are never more in the mailboxes and no customer waits behind a flood of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar, Final
from uuid import UUID

from domain.model import Actor
from domain.orders import PLACED, ExpireOrder, OrderPlaced
from domain.roles import STAFF
from runtime.mailboxes.sender import wait_for_outcomes
from runtime.records import FAILED, EventRecord
from workers.failures import Away
from workers.reactions.core import GiveUp, Reaction, Tools

TIDEGATE: Final = Actor.in_role("tidegate", STAFF)
SEND_PATIENCE_SECONDS: Final = 10.0


class Expiry(Reaction):
    """Expires orders `hold_seconds` after they were placed."""

    name = "expiry"
    interests = frozenset({OrderPlaced.type})
    # Longer than `wait_for_outcomes` waits without progress.
    handle_max_seconds: ClassVar[float] = 120.0
    handle_max_events: ClassVar[int] = 1_000

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools.config)
        self.delay_seconds = float(tools.config.hold_seconds)
        self._pool = tools.pool
        self._sender = tools.sender

    async def handle(self, record: EventRecord) -> None:
        await self.handle_many([record])

    async def handle_many(self, records: Sequence[EventRecord]) -> None:
        rows = await self._pool.fetch(
            "SELECT id FROM orders WHERE id = ANY($1::uuid[]) AND status = $2",
            [record.subject for record in records],
            PLACED,
        )
        command_ids = await asyncio.gather(*(self._expire(UUID(int=row["id"].int)) for row in rows))
        outcomes = await wait_for_outcomes(self._pool, command_ids)
        if len(outcomes) < len(set(command_ids)):
            raise Away("no worker applied the commands")
        for outcome in outcomes.values():
            if outcome.status == FAILED:
                raise GiveUp(f"{outcome.code}: {outcome.detail}")

    async def _expire(self, order_id: UUID) -> UUID:
        """Sends the command; if it has been sent before, it is the same command."""
        return await self._sender.send(
            ExpireOrder(order_id), TIDEGATE, key=f"expire:{order_id}", patience_seconds=SEND_PATIENCE_SECONDS
        )
