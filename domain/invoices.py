"""Invoices, and the credit notes that take back parts of them. The content of each is in its event and never changes:
names, prices, taxes and the seller are copied. The buyer's address is kept only where personal data is.

An order gets one invoice as soon as its whole total has been charged, and a credit note whenever more has been refunded
than its credit notes cover. Both are drawn up from the order's payments at that time; requesting them is idempotent.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Final, Literal
from uuid import UUID

import msgspec

from domain.checkouts import Checkout
from domain.ids import slot_of_id
from domain.limits import (
    NAME_MAX_CHARS,
    ORDER_MAX_LINES,
    SELLER_ADDRESS_MAX_LINES,
    SELLER_LINE_MAX_CHARS,
    TERMS_MAX_PARTS,
)
from domain.model import Command, Context, Decision, Entity, Event, Line, Order, Rejection, Shop, decides, evolves
from domain.numbers import CREDIT_NOTES, INVOICES
from domain.orders import CONFIRMED, FULFILLED
from domain.payments.coverage import given_back
from domain.payments.payment import Payment, payments_of
from domain.quote.breakdown import Sum, breakdown
from domain.quote.quoted import Quote, TaxTotal
from domain.shares import portion

Kind = Literal["invoice", "credit_note"]
INVOICE: Final[Kind] = "invoice"
CREDIT_NOTE: Final[Kind] = "credit_note"

_Line = Annotated[str, msgspec.Meta(max_length=SELLER_LINE_MAX_CHARS)]


class Seller(msgspec.Struct, frozen=True, gc=False):
    """The seller, as printed."""

    name: _Line
    address: Annotated[tuple[_Line, ...], msgspec.Meta(max_length=SELLER_ADDRESS_MAX_LINES)] = ()
    tax_id: _Line = ""


class InvoiceLine(msgspec.Struct, frozen=True, gc=False):
    """A line: `amount_minor` is its pieces' price, from which the discounts are subtracted; `tax_minor` is all of its
    tax, whether that is in the price or comes on top. `title` is what the SKU was called."""

    sku: str
    title: str
    quantity: int
    unit_price_minor: int
    amount_minor: int
    discount_minor: int = 0
    tax_minor: int = 0


class Invoice(Entity, frozen=True):
    """An invoice, or a credit note, which has a single line with the sums, and the part of each tax that it takes back.
    `id` consists of the order's id and the place among the order's invoices. `number` is None in the batch that draws
    it up, because numbers are assigned when the batch is written."""

    id: str
    order_id: UUID
    customer_id: str
    kind: Kind
    currency: str
    total_minor: int
    seller: Seller
    lines: tuple[InvoiceLine, ...]
    sums: tuple[Sum, ...]
    taxes: tuple[TaxTotal, ...]
    number: str | None

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class DrawUpInvoices(Command, frozen=True):
    """Draws up the invoice or credit note that the order's payments call for. `titles` are the names of its SKUs."""

    order_id: UUID
    seller: Seller
    titles: Annotated[
        dict[str, Annotated[str, msgspec.Meta(max_length=2 * NAME_MAX_CHARS + 2)]],
        # What was bought, and what promotions added: one gift each.
        msgspec.Meta(max_length=ORDER_MAX_LINES + TERMS_MAX_PARTS),
    ]

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class _Issued(Event, frozen=True):
    invoice_id: str
    order_id: UUID
    customer_id: str
    currency: str
    total_minor: int
    seller: Seller
    lines: tuple[InvoiceLine, ...]
    sums: tuple[Sum, ...]
    taxes: tuple[TaxTotal, ...]
    number: str | None = None

    def subject(self) -> str:
        return self.invoice_id


class InvoiceIssued(_Issued, frozen=True):
    type: ClassVar[str] = "invoice.issued"
    series: ClassVar[str | None] = INVOICES


class InvoiceCredited(_Issued, frozen=True):
    """A credit note was drawn up: so much of the invoice is taken back."""

    type: ClassVar[str] = "invoice.credited"
    series: ClassVar[str | None] = CREDIT_NOTES


@decides(DrawUpInvoices)
def _draw_up(shop: Shop, command: DrawUpInvoices, context: Context) -> Decision:
    order = shop.orders.get(command.order_id)
    if order is None:
        return Rejection("order_not_found", "There is no such order.", {"order_id": str(command.order_id)})
    checkout = None if order.checkout_id is None else shop.of(Checkout).get(order.checkout_id)
    quote = None if checkout is None else checkout.quote
    payments = payments_of(shop, order.order_id)
    before = [each for each in shop.of(Invoice).values() if each.order_id == order.order_id]
    return tuple(_called_for(order, quote, payments, before, command)) or Rejection(
        "nothing_to_invoice",
        "Everything that was paid or refunded has already been invoiced.",
        {"order_id": str(order.order_id)},
    )


def is_called_for(order: Order, payments: Sequence[Payment], before: Sequence[Invoice]) -> bool:
    """Whether an invoice or a credit note is missing."""
    return _lacks_invoice(order, payments, before) or _to_credit(order, payments, before) > 0


def _called_for(
    order: Order, quote: Quote | None, payments: Sequence[Payment], before: Sequence[Invoice], command: DrawUpInvoices
) -> Iterator[Event]:
    count = len(before)
    invoiced = bool(before)
    if _lacks_invoice(order, payments, before):
        yield InvoiceIssued(
            _id(order, count),
            order.order_id,
            order.customer_id,
            order.currency,
            order.total_minor,
            command.seller,
            _lines(order.lines if quote is None else quote, command.titles),
            breakdown(quote, order.total_minor),
            () if quote is None else quote.taxes,
        )
        count, invoiced = count + 1, True
    if invoiced and (amount_minor := _to_credit(order, payments, before)):
        yield InvoiceCredited(
            _id(order, count),
            order.order_id,
            order.customer_id,
            order.currency,
            amount_minor,
            command.seller,
            (),
            (Sum("total", "Total", amount_minor),),
            () if quote is None else _credited_taxes(quote, _credited(before), amount_minor),
        )


def _lacks_invoice(order: Order, payments: Sequence[Payment], before: Sequence[Invoice]) -> bool:
    charged = sum(payment.amounts.charged for payment in payments)
    return not before and order.status in (CONFIRMED, FULFILLED) and 0 < order.total_minor <= charged


def _to_credit(order: Order, payments: Sequence[Payment], before: Sequence[Invoice]) -> int:
    """How much of the total has been refunded and is not on a credit note yet. Refunds of what was paid beyond the
    total do not count, since that was not on the invoice."""
    return max(0, given_back(order.total_minor, payments) - _credited(before))


def _credited(before: Sequence[Invoice]) -> int:
    return sum(each.total_minor for each in before if each.kind == CREDIT_NOTE)


def _credited_taxes(quote: Quote, credited_minor: int, amount_minor: int) -> tuple[TaxTotal, ...]:
    """The part of each tax that belongs to the amount. If everything is refunded, the parts on all credit notes add up
    to the tax."""
    whole = quote.total_minor

    def of_all(minor: int) -> int:
        return portion(minor, whole, credited_minor, amount_minor)

    return tuple(
        msgspec.structs.replace(tax, net_minor=of_all(tax.net_minor), amount_minor=of_all(tax.amount_minor))
        for tax in quote.taxes
    )


def _lines(of: Quote | Sequence[Line], titles: dict[str, str]) -> tuple[InvoiceLine, ...]:
    if isinstance(of, Quote):
        return tuple(
            InvoiceLine(
                line.sku,
                titles.get(line.sku, line.sku),
                line.quantity,
                line.unit_price_minor,
                line.amount_minor,
                line.discount_minor,
                line.tax_minor,
            )
            for line in of.lines
        )
    return tuple(
        InvoiceLine(
            line.sku,
            titles.get(line.sku, line.sku),
            line.quantity,
            line.unit_price_minor,
            line.quantity * line.unit_price_minor,
        )
        for line in of
    )


def _id(order: Order, place: int) -> str:
    return f"{order.order_id}/{place}"


@evolves(InvoiceIssued)
def _issued(shop: Shop, event: InvoiceIssued) -> None:
    _put(shop, event, INVOICE)


@evolves(InvoiceCredited)
def _was_credited(shop: Shop, event: InvoiceCredited) -> None:
    _put(shop, event, CREDIT_NOTE)


def _put(shop: Shop, event: _Issued, kind: Kind) -> None:
    shop.of(Invoice)[event.invoice_id] = Invoice(
        event.invoice_id,
        event.order_id,
        event.customer_id,
        kind,
        event.currency,
        event.total_minor,
        event.seller,
        event.lines,
        event.sums,
        event.taxes,
        event.number,
    )
