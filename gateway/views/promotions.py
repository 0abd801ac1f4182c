"""What promotions do for a basket, as staff see it before anybody buys it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.checkouts import OPEN, Checkout, CheckoutLine, OpenCheckout
from domain.orders import GUEST_PREFIX
from domain.quote.quoted import Discount, Quote
from gateway.views.quotes import QuoteView, RemarkView, shown
from gateway.views.quoting import Quoting

_NOBODY: Final = f"{GUEST_PREFIX}preview"


class AppliedView(BaseModel):
    """A promotion that applies, and what it takes off everything together."""

    promotion_id: UUID
    name: str
    code: str | None
    amount_minor: int


class PreviewView(BaseModel):
    """What a basket would cost now; which promotions apply to it; and of each other one, and of codes that have no
    effect, what is missing."""

    quote: QuoteView
    applied: list[AppliedView]
    missing: list[RemarkView]


async def preview(
    connection: AsyncConnection, quoting: Quoting, wanted: OpenCheckout, customer_id: str | None
) -> PreviewView:
    """What a checkout with these fields would be told; without a customer, as a guest's."""
    checkout = Checkout(
        wanted.checkout_id,
        customer_id or _NOBODY,
        OPEN,
        wanted.currency,
        tuple(CheckoutLine(line.sku, line.quantity) for line in wanted.lines or ()),
        wanted.email,
        wanted.address,
        None,
        wanted.method_id,
        wanted.codes or (),
        None,
        None,
        None,
        1,
        gift_cards=wanted.gift_cards or (),
        store_credit=bool(wanted.store_credit),
    )
    quote = (await quoting.quote(connection, checkout, await quoting.terms(connection), explain=True)).quote
    return PreviewView(
        quote=shown(quote),
        applied=list(_applied(quote)),
        missing=[RemarkView.of(remark) for remark in quote.remarks],
    )


def _applied(quote: Quote) -> Iterator[AppliedView]:
    discounts = [discount for line in quote.lines for discount in line.discounts]
    if quote.delivery is not None:
        discounts += quote.delivery.discounts
    by_promotion: dict[UUID, list[Discount]] = {}
    for discount in discounts:
        by_promotion.setdefault(discount.promotion_id, []).append(discount)
    for promotion_id, of_it in by_promotion.items():
        yield AppliedView(
            promotion_id=promotion_id,
            name=of_it[0].name,
            code=of_it[0].code,
            amount_minor=sum(discount.amount_minor for discount in of_it),
        )
