"""Has invoices and credit notes drawn up when something was paid or refunded. Checking the payments first saves
commands, but the order's mailbox decides. The command carries what is printed but not part of the order: the current
names of its SKUs, and the seller from the settings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from domain.invoices import DrawUpInvoices, Invoice, Seller, is_called_for
from domain.orders import OrderConfirmed
from domain.payments.by_card import CardMoved
from domain.payments.entries import SUCCESSES
from domain.payments.events import PaymentReported
from domain.payments.payment import Payment
from runtime import entities, orders
from runtime.entities import table_of
from runtime.records import EventRecord
from runtime.settings import Settings
from workers.reactions.commanding import DECIDED_MAX_SECONDS, have_decided
from workers.reactions.core import Reaction, Tools
from workers.reactions.titles import titles_of

_COLUMNS = ", ".join(orders.COLUMNS)
_ORDERS = f"SELECT {_COLUMNS} FROM orders WHERE id = ANY($1::uuid[])"  # noqa: S608 - names of ours
_SKUS = "SELECT order_id, sku FROM order_lines WHERE order_id = ANY($1::uuid[])"
_MOVED = (SUCCESSES["charge"], SUCCESSES["refund"])


class Invoicing(Reaction):
    """Requests the invoices and credit notes that are due."""

    name = "invoices"
    interests = frozenset({OrderConfirmed.type, PaymentReported.type, CardMoved.type})
    begins_at_end = True
    handle_max_seconds: ClassVar[float] = DECIDED_MAX_SECONDS
    handle_max_events: ClassVar[int] = 200

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools.config)
        self._tools = tools
        self._seller = seller_in(tools.config)

    async def handle(self, record: EventRecord) -> None:
        await self.handle_many([record])

    async def handle_many(self, records: Sequence[EventRecord]) -> None:
        seqs = {order_id: record.seq for record in records if (order_id := _order_to_look_at(record)) is not None}
        if not seqs:
            return
        async with self._tools.pool.acquire() as connection:
            wanted = await self._wanted(connection, list(seqs))
        keyed = [(f"invoices:{command.order_id}:{seqs[command.order_id]}", command) for command in wanted]
        await have_decided(self._tools, keyed)

    async def _wanted(self, connection: Any, order_ids: list[UUID]) -> list[DrawUpInvoices]:
        """The commands for those of the orders that lack an invoice or a credit note."""
        payments, before = defaultdict[UUID, list[Payment]](list), defaultdict[UUID, list[Invoice]](list)
        for payment in await entities.load(connection, table_of(Payment), "order_id", order_ids):
            assert isinstance(payment, Payment)
            payments[payment.order_id].append(payment)
        for invoice in await entities.load(connection, table_of(Invoice), "order_id", order_ids):
            assert isinstance(invoice, Invoice)
            before[invoice.order_id].append(invoice)
        asked = [orders.order(row, ()) for row in await connection.fetch(_ORDERS, order_ids)]
        lacking = [
            each.order_id for each in asked if is_called_for(each, payments[each.order_id], before[each.order_id])
        ]
        skus = defaultdict[UUID, list[str]](list)
        for order_id, sku in await connection.fetch(_SKUS, lacking) if lacking else ():
            skus[order_id].append(sku)
        titles = await titles_of(connection, {sku for theirs in skus.values() for sku in theirs})
        return [
            DrawUpInvoices(order_id, self._seller, {sku: titles[sku] for sku in skus[order_id]}) for order_id in lacking
        ]


def seller_in(config: Settings) -> Seller:
    """The seller that the settings name."""
    return Seller(config.seller_name, config.seller_address, config.seller_tax_id)


def _order_to_look_at(record: EventRecord) -> UUID | None:
    event = record.event()
    if isinstance(event, PaymentReported):
        return event.order_id if any(entry.type in _MOVED for entry in event.entries) else None
    if isinstance(event, CardMoved):
        return event.order_id if event.entry.type in _MOVED else None
    assert isinstance(event, OrderConfirmed)
    return event.order_id
