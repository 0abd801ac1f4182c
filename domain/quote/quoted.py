"""The quote of a basket, and everything it consists of. Amounts are whole minor units and never negative; discounts are
subtracted.

    line.amount - its discounts = line.net + line.included tax
    line.gross = line.net + line.tax
    subtotal + delivery - discount + added tax = total = Σ gross
    total - Σ cards = due

A placed order copies its quote, so nothing in it refers to anything that may change.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

STANDARD: Final = "standard"
ZERO: Final = "zero"
EXEMPT: Final = "exempt"
REVERSE_CHARGE: Final = "reverse_charge"
EXPORT: Final = "export"
TAX_REASONS: Final = (STANDARD, ZERO, EXEMPT, REVERSE_CHARGE, EXPORT)


class Discount(msgspec.Struct, frozen=True, gc=False):
    """What one promotion takes off a line or a delivery. `version` is the promotion's, `code` the one that was typed,
    `kind` and `value` (basis points, minor units or pieces) what it does. `weight_minor` is the line's weight among
    those it was split over: what the line cost until then. A free delivery's discount stays, even where it takes 0."""

    promotion_id: UUID
    version: int
    name: str
    kind: str
    value: int
    amount_minor: int
    weight_minor: int
    code: str | None = None


class TaxLine(msgspec.Struct, frozen=True, gc=False):
    """One tax on a line or a delivery. `reason` is one of TAX_REASONS: a tax of 0 is there as well, and says why.
    `extra_ppm` is what the rate has beyond its basis points, in parts per million."""

    name: str
    country: str
    rate_bp: int
    reason: str
    amount_minor: int
    extra_ppm: int = 0


class TaxTotal(msgspec.Struct, frozen=True, gc=False):
    """One tax on everything: the sum of its lines, on the sum of their nets."""

    name: str
    country: str
    rate_bp: int
    reason: str
    net_minor: int
    amount_minor: int
    extra_ppm: int = 0


class QuotedLine(msgspec.Struct, frozen=True, gc=False):
    """A line. `price_list_id` is where its price is from, None for the SKU's own; `own_price_minor` is the SKU's own,
    if it has one in this currency. `relieved_minor`: the tax that was taken out of the price of each piece, for a
    buyer who pays none. `gift`: a promotion added it, and takes off all of it."""

    sku: str
    quantity: int
    unit_price_minor: int
    amount_minor: int
    net_minor: int
    tax_minor: int
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[TaxLine, ...] = ()
    price_list_id: UUID | None = None
    own_price_minor: int | None = None
    relieved_minor: int = 0
    gift: bool = False

    @property
    def discount_minor(self) -> int:
        return sum(discount.amount_minor for discount in self.discounts)

    @property
    def gross_minor(self) -> int:
        return self.net_minor + self.tax_minor


class QuotedDelivery(msgspec.Struct, frozen=True, gc=False):
    """The delivery that was chosen. It is charged once, however many parcels it takes."""

    method_id: UUID
    name: str
    kind: str
    amount_minor: int
    net_minor: int
    tax_minor: int
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[TaxLine, ...] = ()
    relieved_minor: int = 0

    @property
    def discount_minor(self) -> int:
        return sum(discount.amount_minor for discount in self.discounts)

    @property
    def gross_minor(self) -> int:
        return self.net_minor + self.tax_minor


class PaidByCard(msgspec.Struct, frozen=True, gc=False):
    """What a gift card or store credit pays."""

    card_id: UUID
    kind: str
    shown: str
    amount_minor: int


class Remark(msgspec.Struct, frozen=True, gc=False):
    """Something that lacks, or does not apply. `field` is a JSON Pointer into the checkout (RFC 6901); `amount_minor`
    or `quantity` is how much more it would take, where more would do."""

    field: str
    code: str
    message: str
    promotion_id: UUID | None = None
    amount_minor: int | None = None
    quantity: int | None = None


class Take(msgspec.Struct, frozen=True, gc=False):
    """What an order takes from something limited: so much, under this key, of `limit` in all (see
    `domain/quote/terms/limits.py`)."""

    key: str
    amount: int
    limit: int


class Quote(msgspec.Struct, frozen=True, gc=False):
    """What a basket costs. `subtotal_minor` is what its lines cost before discounts, `delivery_minor` the delivery;
    `tax_minor` is all tax, `added_tax_minor` what of it comes on top of the prices: all of it or nothing, as
    `tax_included` says. `tax_rounding` is `line` or `order`. `requirements` must be met before anything can be ordered;
    `remarks` are what else the buyer may like to know: which codes, promotions and cards do not apply, and why. `takes`
    is what placing the order takes from what is limited. `tax_provider` is who computed the taxes, if the shop did
    not."""

    currency: str
    lines: tuple[QuotedLine, ...]
    subtotal_minor: int
    discount_minor: int
    delivery_minor: int
    tax_minor: int
    added_tax_minor: int
    total_minor: int
    due_minor: int
    delivery: QuotedDelivery | None = None
    taxes: tuple[TaxTotal, ...] = ()
    tax_included: bool = False
    tax_rounding: str = "line"
    cards: tuple[PaidByCard, ...] = ()
    requirements: tuple[Remark, ...] = ()
    remarks: tuple[Remark, ...] = ()
    takes: tuple[Take, ...] = ()
    tax_provider: str | None = None
