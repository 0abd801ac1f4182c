"""Every paid order gets one invoice, and every refund a credit note; neither ever changes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from domain.catalogue import ChangeProduct
from domain.model import Actor
from domain.orders import CancelOrder
from domain.payments.commands import CreatePayment, ReportPayment
from domain.payments.entries import Entry, EntryType
from domain.payments.payment import Capabilities
from ops.verify import verify
from tests.beside import beside
from tests.integration.reacting import Stage, tools
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.test_expiry import applied
from workers.reactions.invoicing import Invoicing

_AT = datetime(2026, 11, 30, tzinfo=UTC)
_ANN = Actor.in_role("ann", "customer")


class Till:
    """A shop that takes money, and draws up invoices when a test says so."""

    def __init__(self, floor: Shopfloor, stage: Stage) -> None:
        self.floor = floor
        self.stage = stage
        self._told = 0

    async def order(self) -> tuple[UUID, UUID]:
        """An order of GBP 3, and its payment, which is pending."""
        order = self.floor.place(actor=_ANN, TEA=3)
        payment_id = self.floor.new_id()
        await self.floor.post(order)
        await self.floor.post(CreatePayment(order.order_id, payment_id, "sandbox", Capabilities()))
        return order.order_id, payment_id

    async def report(self, order_id: UUID, payment_id: UUID, kind: EntryType, amount_minor: int) -> None:
        self._told += 1
        reference = str(payment_id) if kind == "charge_success" else f"act-{self._told}"
        entry = Entry(kind, reference, amount_minor, _AT + timedelta(minutes=self._told))
        await self.floor.post(ReportPayment(order_id, payment_id, "GBP", (entry,)), actor=STAFF)
        await applied(self.floor)

    async def paid(self) -> tuple[UUID, UUID]:
        order_id, payment_id = await self.order()
        await self.report(order_id, payment_id, "charge_success", 300)
        return order_id, payment_id

    async def drawn_up(self) -> list[tuple[str, str, int]]:
        """Has them drawn up; returns kind, number and total of all."""
        await self.stage.run_to_the_end()
        await applied(self.floor)
        rows = await self.floor.pool.fetch("SELECT kind, number, total_minor FROM invoices ORDER BY created_at, id")
        return [tuple(row) for row in rows]


@asynccontextmanager
async def selling(floor: Shopfloor, **settings: Any) -> AsyncIterator[Till]:
    await floor.fill(TEA=100)
    async with beside(floor.work), tools(floor, seller_name="The Shop", **settings) as given:
        stage = Stage(floor, Invoicing(given))
        await stage.begin()
        yield Till(floor, stage)


async def test_an_order_gets_its_invoice_when_it_is_paid_and_not_before(floor: Shopfloor) -> None:
    async with selling(floor) as till:
        order_id, payment_id = await till.order()
        await till.report(order_id, payment_id, "charge_failure", 300)
        assert await till.drawn_up() == []
        await till.report(order_id, payment_id, "charge_success", 300)
        assert await till.drawn_up() == [("invoice", "INV-000001", 300)]
        await till.report(order_id, payment_id, "info", 300)
        await till.paid()
        assert await till.drawn_up() == [("invoice", "INV-000001", 300), ("invoice", "INV-000002", 300)]
    await floor.verified()


async def test_what_is_given_back_gets_credit_notes_up_to_the_total(floor: Shopfloor) -> None:
    async with selling(floor) as till:
        order_id, payment_id = await till.paid()
        await till.report(order_id, payment_id, "refund_success", 100)
        invoiced = [("invoice", "INV-000001", 300), ("credit_note", "CN-000001", 100)]
        # Both come from one command.
        assert await till.drawn_up() == invoiced
        await till.report(order_id, payment_id, "refund_failure", 50)
        assert await till.drawn_up() == invoiced
        await floor.post(CancelOrder(order_id), actor=STAFF)
        await till.report(order_id, payment_id, "refund_success", 200)
        assert await till.drawn_up() == [*invoiced, ("credit_note", "CN-000002", 200)]
    await floor.verified()


async def test_an_event_that_is_handled_again_changes_nothing(floor: Shopfloor) -> None:
    async with selling(floor) as till:
        order_id, payment_id = await till.paid()
        once = await till.drawn_up()
        await till.report(order_id, payment_id, "refund_success", 300)
        twice = await till.drawn_up()
        await floor.pool.execute("UPDATE reactions SET position = 0 WHERE name = 'invoices'")
        assert await till.drawn_up() == twice == [*once, ("credit_note", "CN-000001", 300)]
    await floor.verified()


async def test_an_invoice_keeps_the_names_and_the_seller_that_it_was_drawn_up_with(floor: Shopfloor) -> None:
    said = "SELECT lines::text, seller::text FROM invoices WHERE number = $1"
    async with selling(floor) as till:
        await till.paid()
        await till.drawn_up()
        before = await floor.pool.fetchrow(said, "INV-000001")
        assert [line["title"] for line in msgspec.json.decode(before[0])] == ["Tea"]
        assert msgspec.json.decode(before[1]) == {"name": "The Shop", "address": [], "tax_id": ""}
        await floor.post(ChangeProduct(floor.listing("TEA").product_id, {"name": "Green tea"}), actor=STAFF)
        await till.paid()
        await till.drawn_up()
        assert await floor.pool.fetchrow(said, "INV-000001") == before
        after = await floor.pool.fetchrow(said, "INV-000002")
        assert [line["title"] for line in msgspec.json.decode(after[0])] == ["Green tea"]
    await floor.verified()


async def test_verify_finds_an_invoice_that_was_altered(floor: Shopfloor) -> None:
    async with selling(floor) as till:
        order_id, _ = await till.paid()
        await till.drawn_up()
    await floor.pool.execute("UPDATE invoices SET number = 'INV-000007'")
    report = await verify(floor.database_url, floor.redis_url, mailbox_count=floor.mailbox_count)
    assert [(each["check"], each["subject"]) for each in report.differences] == [("invoices", f"{order_id}/0")]
