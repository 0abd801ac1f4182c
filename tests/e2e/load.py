"""Load for fault tests: connections that place one order after another, as careful clients do. Each order has its own
Idempotency-Key and is retried with the same key until it is accepted.

It records what clients know: what was accepted, and every other answer. `tests.e2e.ledger` checks that against
Postgres.
"""

import asyncio
import secrets
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, NamedTuple, Self

from tests.beside import let_finish
from tests.e2e.faults_client import NO_ANSWER, FaultsClient, Reply
from tests.system import System, eventually_seen

# Enough to fill batches, and few enough to leave two cores to the processes under test.
CONNECTIONS: Final = 16
ORDERS_PER_SECOND: Final = 400

_LINE_MAX_QUANTITY: Final = 3
_RETRY_SECONDS: Final = 0.05
# For orders in progress when the load is stopped; everything is running again by then.
_SETTLE_SECONDS: Final = 20.0
_GOES_ON_SECONDS: Final = 10.0


class Order(NamedTuple):
    """What a client asks for, repeatedly if need be."""

    key: str
    customer: str
    lines: dict[str, int]


class Accepted(NamedTuple):
    """An order that was accepted with 202, and the answer."""

    order: Order
    reply: Reply

    @property
    def order_id(self) -> str:
        return str(self.reply.body["id"])

    @property
    def command_id(self) -> str:
        return str(self.reply.body["command_id"])


class Load:
    """`async with Load(system, skus) as load:` runs until the block ends, and a little longer: each order in progress
    is finished, or left in `unsettled` by its key.
    """

    def __init__(self, system: System, skus: Sequence[str]) -> None:
        self.accepted: list[Accepted] = []
        self.refused: list[Reply] = []
        self.unsettled: dict[str, Order] = {}
        self._client = FaultsClient(system)
        self._skus = skus
        self._stopping = False
        self._connections: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        self._connections = [asyncio.create_task(self._place_orders(number)) for number in range(CONNECTIONS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        try:
            await let_finish(self._connections, within_seconds=_SETTLE_SECONDS, error=error)
        finally:
            await self._client.__aexit__(kind, error, traceback)

    def accepted_ids(self) -> set[str]:
        """The ids of all commands that were answered with 202 so far."""
        return {accepted.command_id for accepted in self.accepted}

    def refusals(self) -> set[tuple[int, str | None]]:
        """Status and problem code of every answer other than 202; (0, None) is a broken connection."""
        return {(reply.status, reply.code) for reply in self.refused}

    async def accepts(self, count: int) -> None:
        """Returns when this many more orders have been both sent and accepted from now on, not counting one per
        connection, which may have been under way already."""
        enough = len(self.accepted) + CONNECTIONS + count
        await eventually_seen(
            f"{count} more accepted orders", lambda: self._has_accepted(enough), within_seconds=_GOES_ON_SECONDS
        )

    async def is_refused(self, count: int) -> None:
        """Returns when this many more answers were other than 202."""
        enough = len(self.refused) + count
        await eventually_seen(
            f"{count} more refusals", lambda: self._has_been_refused(enough), within_seconds=_GOES_ON_SECONDS
        )

    async def _has_accepted(self, count: int) -> bool:
        return len(self.accepted) >= count

    async def _has_been_refused(self, count: int) -> bool:
        return len(self.refused) >= count

    async def _place_orders(self, number: int) -> None:
        placed = 0
        while not self._stopping:
            due = time.monotonic() + CONNECTIONS / ORDERS_PER_SECOND
            lines = {self._skus[(number + placed) % len(self._skus)]: 1 + placed % _LINE_MAX_QUANTITY}
            await self._place(Order(secrets.token_hex(8), f"customer-{number}", lines))
            placed += 1
            await asyncio.sleep(due - time.monotonic())

    async def _place(self, order: Order) -> None:
        self.unsettled[order.key] = order
        while True:
            reply = await self._client.place(order.lines, customer=order.customer, key=order.key)
            if reply.status == 202:
                self.accepted.append(Accepted(order, reply))
                break
            self.refused.append(reply)
            if reply.status not in (NO_ANSWER, 503):
                return  # unexpected, and no reason to retry: the order stays unsettled
            await asyncio.sleep(_RETRY_SECONDS)
        del self.unsettled[order.key]
