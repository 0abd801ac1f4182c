"""The worksheet of a quote: the basket, its lines and its delivery, with what each of them still costs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.model import Offer
from domain.quote.basket import Basket
from domain.quote.bounds import Many, Sku
from domain.quote.quoted import Discount, TaxLine


class Part(msgspec.Struct, gc=False):
    """A line of the basket, or its delivery (one piece, of no offer). `left_minor` is what all of it costs after the
    discounts so far. `own_minor` is the SKU's own price, and `relieved_minor` the tax taken out of the price."""

    offer: Offer | None
    quantity: int
    unit_minor: int
    left_minor: int
    tax_class: str
    price_list_id: UUID | None = None
    own_minor: int | None = None
    relieved_minor: int = 0
    gift: bool = False
    discounts: tuple[Discount, ...] = ()
    taxes: tuple[TaxLine, ...] = ()
    tax_minor: int = 0

    @property
    def amount_minor(self) -> int:
        """Its total cost before discounts."""
        return self.quantity * self.unit_minor

    @property
    def may_be_reduced(self) -> bool:
        """Whether promotions apply to it: gifts are free, and gift cards are money."""
        return not self.gift and not (self.offer is not None and self.offer.gift_card)


class Items(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Some of what a shop sells: what has one of the SKUs, is of one of the products, or is in one of the categories or
    below. Nothing named is everything."""

    skus: Many[Sku] = frozenset()
    product_ids: Many[UUID] = frozenset()
    category_ids: Many[UUID] = frozenset()

    def __contains__(self, offer: Offer) -> bool:
        if not (self.skus or self.product_ids or self.category_ids):
            return True
        return (
            offer.sku in self.skus
            or offer.product_id in self.product_ids
            or not self.category_ids.isdisjoint(offer.category_ids)
        )

    def among(self, parts: Sequence[Part]) -> list[Part]:
        """The parts among these that are such items."""
        return [part for part in parts if part.offer is not None and part.offer in self]


EVERYTHING = Items()


class Worksheet(msgspec.Struct):
    """The quote so far. `lines` are all that were priced, gifts included."""

    basket: Basket
    at: datetime
    lines: list[Part]
    delivery: Part | None = None

    def reducible(self) -> list[Part]:
        """The lines that promotions apply to."""
        return [part for part in self.lines if part.may_be_reduced]

    def parts(self) -> list[Part]:
        """The lines, and the delivery if there is one."""
        return self.lines if self.delivery is None else [*self.lines, self.delivery]

    def goods_minor(self) -> int:
        """What the lines cost after the discounts so far."""
        return sum(part.left_minor for part in self.lines)

    def weight_grams(self) -> int:
        """The weight of everything that has to be sent."""
        return sum(part.quantity * part.offer.weight_grams for part in self.lines if part.offer and needs_sending(part))

    def needs_delivery(self) -> bool:
        return any(map(needs_sending, self.lines))


def needs_sending(part: Part) -> bool:
    return part.offer is not None and not (part.offer.digital or part.offer.gift_card)
