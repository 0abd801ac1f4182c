"""Which price a line gets: of the price lists that apply to the buyer, moment and quantity, that of the list with the
highest priority; otherwise the SKU's own. A SKU without a price in the basket's currency is not sold in it: prices are
never converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from domain.model import Offer, Price
from domain.quote.basket import Basket
from domain.quote.bounds import Country, Many, Moment, Name, Priority, Word
from domain.quote.periods import in_period

LOWEST_PRICE_DAYS: Final = 30
"""For how many days before a reduction the lowest price must be shown."""


class PriceList(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A list of prices, such as a sale's or a customer group's. Without `groups` it is for everybody, without
    `countries` for everywhere; its prices are with the offers (see Offer). A higher `priority` wins; among equal ones,
    the lower price."""

    id: UUID
    name: Name
    priority: Priority = 0
    groups: Many[Word] = frozenset()
    countries: Many[Country] = frozenset()
    starts_at: Moment | None = None
    ends_at: Moment | None = None

    def is_for(self, basket: Basket, at: datetime) -> bool:
        """Whether it applies to the buyer."""
        return (
            (not self.groups or not self.groups.isdisjoint(basket.groups))
            and (not self.countries or (basket.to is not None and basket.to.country in self.countries))
            and in_period(at, self.starts_at, self.ends_at)
        )


def own_price(offer: Offer, currency: str) -> int | None:
    """The SKU's own price in the currency, if it has one."""
    if offer.currency == currency:
        return offer.price_minor
    for price in offer.prices:
        if price.price_list_id is None and price.currency == currency:
            return price.price_minor
    return None


def price_of(
    offer: Offer, quantity: int, basket: Basket, lists: Mapping[UUID, PriceList], at: datetime
) -> tuple[int, UUID | None] | None:
    """The price of a piece at this quantity, and its price list (None for the SKU's own price); None instead of both if
    the SKU is not sold in the basket's currency."""
    best: tuple[int, int, Price] | None = None
    for price in offer.prices:
        if price.price_list_id is None or price.currency != basket.currency or quantity < price.min_quantity:
            continue
        price_list = lists.get(price.price_list_id)
        if price_list is None or not price_list.is_for(basket, at):
            continue
        rank = (price_list.priority, -price.price_minor)
        if best is None or rank > best[:2]:
            best = (*rank, price)
    if best is not None:
        return best[2].price_minor, best[2].price_list_id
    own = own_price(offer, basket.currency)
    return None if own is None else (own, None)


def lowest_price(changes: Iterable[tuple[datetime, int]], until: datetime, days: int = LOWEST_PRICE_DAYS) -> int | None:
    """The lowest price at any moment of the `days` before `until`, when a reduction began (Directive 98/6/EC, Article
    6a). `changes` are the moments of price changes with the new price, oldest first; None if there was no price
    then."""
    since, lowest, standing = until - timedelta(days=days), None, None
    for changed_at, price_minor in changes:
        if changed_at >= until:
            break
        if changed_at <= since:
            standing = price_minor
        elif lowest is None or price_minor < lowest:
            lowest = price_minor
    if standing is None or lowest is None:
        return standing if lowest is None else lowest
    return min(standing, lowest)
