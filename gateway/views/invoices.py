"""Invoices and credit notes as the API shows them: what they said when they were drawn up, and to whom, as long as that
is known."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from pydantic import BaseModel
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.invoices import CREDIT_NOTE, INVOICE, Kind
from domain.model import Actor, Personal
from domain.quote.breakdown import rate_in_words
from domain.quote.quoted import TaxTotal
from gateway.views.checkouts import AddressView, address_of
from gateway.web.rawjson import as_text
from runtime.tables import checkouts, invoices, orders


class SellerView(BaseModel):
    """Who sells, as it was printed."""

    name: str
    address: list[str]
    tax_id: str


class InvoiceLineView(BaseModel):
    """A line of an invoice: its price before discounts, what is taken off, and all of its tax."""

    sku: str
    title: str
    quantity: int
    unit_price_minor: int
    amount_minor: int
    discount_minor: int
    tax_minor: int


class SumView(BaseModel):
    """One of the sums below the lines. What reduces is negative; included taxes are in the total already."""

    kind: Literal["subtotal", "discount", "delivery", "tax", "total", "included_tax", "paid_by_card", "due"]
    label: str
    amount_minor: int


class InvoicedTaxView(BaseModel):
    """One tax, in words with its rate and the reason, on the sum of the nets that it is on."""

    name: str
    label: str
    country: str
    rate_bp: int
    extra_ppm: int
    reason: str
    net_minor: int
    amount_minor: int


class InvoiceView(BaseModel):
    """An invoice, or a credit note that `corrects` one. What it says never changes. The `buyer` is null if no address
    was needed, or it was erased."""

    number: str
    kind: Kind
    order_id: UUID
    order_number: str | None
    corrects: str | None
    issued_at: datetime
    currency: str
    total_minor: int
    seller: SellerView
    buyer: AddressView | None
    lines: list[InvoiceLineView]
    sums: list[SumView]
    taxes: list[InvoicedTaxView]


class CreditNotesView(BaseModel):
    """The credit notes of an order, oldest first; there are at most as many as refunds."""

    items: list[InvoiceView]


_taxes: Final = msgspec.json.Decoder(tuple[TaxTotal, ...])


async def invoice_of(connection: AsyncConnection, actor: Actor, order_id: UUID) -> InvoiceView | None:
    """The invoice of an order, if it has one that `actor` may see."""
    found = await _read(connection, actor, order_id, INVOICE)
    return found[0] if found else None


async def credit_notes_of(connection: AsyncConnection, actor: Actor, order_id: UUID) -> CreditNotesView:
    """Those of an order that `actor` may see."""
    return CreditNotesView(items=await _read(connection, actor, order_id, CREDIT_NOTE))


async def _read(connection: AsyncConnection, actor: Actor, order_id: UUID, kind: Kind) -> list[InvoiceView]:
    first = invoices.alias("first")
    corrects = (
        select(first.c.number).where(first.c.order_id == invoices.c.order_id, first.c.kind == INVOICE).scalar_subquery()
    )
    told = (invoices.c.seller, invoices.c.lines, invoices.c.sums, invoices.c.taxes)
    query: Select[Any] = (
        select(
            invoices.c.number,
            invoices.c.kind,
            invoices.c.order_id,
            orders.c.number.label("order_number"),
            corrects.label("corrects"),
            invoices.c.created_at.label("issued_at"),
            invoices.c.currency,
            invoices.c.total_minor,
            *(as_text(column).label(column.name) for column in told),
            checkouts.c.address,
            checkouts.c.billing_address,
        )
        .join_from(invoices, orders, orders.c.id == invoices.c.order_id)
        .outerjoin(checkouts, checkouts.c.id == orders.c.checkout_id)
        .where(invoices.c.order_id == order_id, invoices.c.kind == kind)
        .order_by(invoices.c.created_at, invoices.c.number)
    )
    if not actor.is_staff:
        query = query.where(invoices.c.customer_id == actor.principal)
    return [_view(dict(row)) for row in (await connection.execute(query)).mappings()]


def _view(row: dict[str, Any]) -> InvoiceView:
    sealed = row["billing_address"] or row["address"]
    buyer = address_of(None if sealed is None else Personal(sealed))
    taxes = [{**msgspec.structs.asdict(tax), "label": rate_in_words(tax)} for tax in _taxes.decode(row["taxes"])]
    told = {name: msgspec.json.decode(row[name]) for name in ("seller", "lines", "sums")}
    corrects = row["corrects"] if row["kind"] == CREDIT_NOTE else None
    return InvoiceView.model_validate({**row, **told, "taxes": taxes, "buyer": buyer, "corrects": corrects})
