"""Quotes as people see them: what something costs, and why. Amounts are in minor units of the quote's currency, and
none is negative."""

from __future__ import annotations

from typing import Self
from uuid import UUID

import msgspec
from pydantic import BaseModel

from domain.quote.quoted import Quote, Remark


class DiscountView(BaseModel):
    """What one promotion takes off a line or the delivery. `version` is the promotion's, `kind` and `value` what it
    does (basis points, minor units or pieces), `weight_minor` what the line cost until then, by which a discount on
    several lines is split."""

    promotion_id: UUID
    version: int
    name: str
    kind: str
    value: int
    amount_minor: int
    weight_minor: int
    code: str | None


class TaxLineView(BaseModel):
    """One tax on a line or the delivery. `rate_bp` is in basis points; `reason` says why it is what it is."""

    name: str
    country: str
    rate_bp: int
    extra_ppm: int
    reason: str
    amount_minor: int


class QuotedLineView(BaseModel):
    """A line with its price. `own_price_minor` is the SKU's own price, if a price list has another one; a `gift` was
    added by a promotion."""

    sku: str
    quantity: int
    unit_price_minor: int
    amount_minor: int
    net_minor: int
    tax_minor: int
    discounts: list[DiscountView]
    taxes: list[TaxLineView]
    price_list_id: UUID | None
    own_price_minor: int | None
    relieved_minor: int
    gift: bool


class QuotedDeliveryView(BaseModel):
    """The chosen delivery with its price, which is charged once."""

    method_id: UUID
    name: str
    kind: str
    amount_minor: int
    net_minor: int
    tax_minor: int
    discounts: list[DiscountView]
    taxes: list[TaxLineView]
    relieved_minor: int


class TaxTotalView(BaseModel):
    """One tax on everything, and the sum of the nets that it is on."""

    name: str
    country: str
    rate_bp: int
    extra_ppm: int
    reason: str
    net_minor: int
    amount_minor: int


class PaidByCardView(BaseModel):
    """What a gift card or store credit pays. `shown` is what it is known by, never its code."""

    card_id: UUID
    kind: str
    shown: str
    amount_minor: int


class RemarkView(BaseModel):
    """Something that lacks, or does not apply: where (JSON Pointer, RFC 6901), a stable `code`, and how much more it
    would take, where more would do."""

    field: str
    code: str
    message: str
    promotion_id: UUID | None = None
    amount_minor: int | None = None
    quantity: int | None = None

    @classmethod
    def of(cls, remark: Remark) -> Self:
        return cls(**msgspec.structs.asdict(remark))


class QuoteView(BaseModel):
    """What it costs: subtotal + delivery - discount + added tax = total, of which `due_minor` is left when the cards
    have paid. `tax_minor` is all tax; what of it is not in the prices is added. `remarks` say which codes, promotions
    and cards do not apply, and why. The currency is null while nothing decides it: no line has been priced yet."""

    currency: str | None
    lines: list[QuotedLineView]
    subtotal_minor: int
    discount_minor: int
    delivery_minor: int
    tax_minor: int
    added_tax_minor: int
    total_minor: int
    due_minor: int
    delivery: QuotedDeliveryView | None
    taxes: list[TaxTotalView]
    tax_included: bool
    tax_rounding: str
    cards: list[PaidByCardView]
    remarks: list[RemarkView]


def shown(quote: Quote) -> QuoteView:
    """The quote as people see it; its requirements are shown by the checkout."""
    said = msgspec.to_builtins(quote)
    del said["requirements"]
    said["currency"] = quote.currency or None
    return QuoteView.model_validate(said)
