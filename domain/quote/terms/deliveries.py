"""Delivery methods and their prices: the first of a method's rates that fits the basket applies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final
from uuid import UUID

import msgspec

from domain.quote.basket import Basket
from domain.quote.bounds import LIST_MAX, Currency, Grams, Many, Minor, Name, Word
from domain.quote.places import Area, Place
from domain.quote.quoted import Remark
from domain.quote.worksheet import Part, Worksheet

SHIP: Final = "ship"
PICKUP: Final = "pickup"
DIGITAL: Final = "digital"
METHOD_KINDS: Final = (SHIP, PICKUP, DIGITAL)

DELIVERY_PENDING: Final = "delivery_pending"

_ADDRESS: Final = Remark("/address", "address_required", "Give a delivery address.")
_FIELD: Final = "/method_id"
_REQUIRED: Final = Remark(_FIELD, "delivery_required", "Choose a delivery method.")
_UNAVAILABLE: Final = Remark(_FIELD, "delivery_unavailable", "This delivery method is not available for the order.")
_PENDING: Final = Remark(_FIELD, DELIVERY_PENDING, "The price of this delivery is not known yet: try again shortly.")


class Rate(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a delivery costs, for baskets whose weight and subtotal (after discounts) are from one bound on and below
    another. From `free_from_minor` on, it is free."""

    currency: Currency
    price_minor: Minor
    from_grams: Grams = 0
    below_grams: Grams | None = None
    from_minor: Minor = 0
    below_minor: Minor | None = None
    free_from_minor: Minor | None = None

    def fits(self, currency: str, weight_grams: int, goods_minor: int) -> bool:
        """Whether it applies to such a basket."""
        return (
            self.currency == currency
            and self.from_grams <= weight_grams
            and (self.below_grams is None or weight_grams < self.below_grams)
            and self.from_minor <= goods_minor
            and (self.below_minor is None or goods_minor < self.below_minor)
        )


class Method(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A way of delivery, of one of METHOD_KINDS, to the areas of its zones: everywhere if it has none. What a `live`
    one costs is asked of the shop's delivery provider, for the basket, and its own rates say nothing: only what is sent
    has such a price. Without `groups`, it is for everybody."""

    id: UUID
    name: Name
    kind: str = SHIP
    areas: Annotated[tuple[Area, ...], msgspec.Meta(max_length=LIST_MAX)] = ()
    rates: Annotated[tuple[Rate, ...], msgspec.Meta(max_length=LIST_MAX)] = ()
    live: bool = False
    tax_class: Word = "standard"
    groups: Many[Word] = frozenset()
    active: bool = True

    def __post_init__(self) -> None:
        if self.kind not in METHOD_KINDS:
            raise ValueError(f"{self.kind!r} is not a kind of method")

    def supplies_at(self, to: Place | None, home: str) -> Place | None:
        """The place of supply, for a shop in the country `home` and a buyer at `to`: goods that are collected are
        supplied at home, whatever the buyer's address."""
        return to if self.kind != PICKUP or (to is not None and to.country == home) else Place(home)

    @property
    def is_asked(self) -> bool:
        """Whether the delivery provider says what it costs."""
        return self.live and self.kind == SHIP

    def delivery(self, sheet: Worksheet, to: Place | None, live: Mapping[UUID, int] | None) -> Part | None:
        """Its delivery of the basket to a buyer at `to`, before promotions; None if it cannot deliver that.
        `live` is what live methods cost, if it is known."""
        if not self.serves(sheet, to) or (price_minor := self._price_minor(sheet, live)) is None:
            return None
        return Part(None, 1, price_minor, price_minor, self.tax_class)

    def serves(self, sheet: Worksheet, to: Place | None) -> bool:
        """Whether it can deliver the basket there, at any price."""
        return (
            self.active
            and (self.kind != DIGITAL) == sheet.needs_delivery()
            and (not self.groups or not self.groups.isdisjoint(sheet.basket.groups))
            and (not self.areas or (to is not None and any(to in area for area in self.areas)))
        )

    def _price_minor(self, sheet: Worksheet, live: Mapping[UUID, int] | None) -> int | None:
        """Its price before promotions; None if it has no rate for the basket."""
        if self.live:
            return None if live is None else live.get(self.id)
        weight_grams, goods_minor = sheet.weight_grams(), sheet.goods_minor()
        for rate in self.rates:
            if rate.fits(sheet.basket.currency, weight_grams, goods_minor):
                free = rate.free_from_minor is not None and goods_minor >= rate.free_from_minor
                return 0 if free else rate.price_minor
        return None


def chosen(basket: Basket, methods: Sequence[Method]) -> Method | None:
    """The method that was chosen, whether or not it can deliver the basket."""
    return next((one for one in methods if one.id == basket.method_id), None) if basket.delivers else None


def choose(
    sheet: Worksheet, to: Place | None, methods: Sequence[Method], live: Mapping[UUID, int] | None, *, taxed: bool
) -> tuple[Method | None, Part | None, list[Remark]]:
    """The chosen method and its delivery to a buyer at `to`, if it can deliver the basket; and what is missing. `live`
    has the prices of live methods, if they are known. A shop without methods delivers nothing, but needs the buyer's
    place if the basket is `taxed`."""
    basket = sheet.basket
    if not basket.delivers or not (methods or taxed):
        return None, None, []
    lacks = []
    needed = bool(methods) and sheet.needs_delivery()
    method = chosen(basket, methods)
    if to is None and (needed or taxed) and not (method is not None and method.kind == PICKUP):
        lacks.append(_ADDRESS)
    if method is None:
        if basket.method_id is not None:
            lacks.append(_UNAVAILABLE)
        elif needed:
            lacks.append(_REQUIRED)
    elif (delivery := method.delivery(sheet, to, live)) is not None:
        return method, delivery, lacks
    elif live is None and method.is_asked and method.serves(sheet, to):
        lacks.append(_PENDING)
    elif not (lacks and (method.areas or method.is_asked)):
        lacks.append(_UNAVAILABLE)
    return None, None, lacks
