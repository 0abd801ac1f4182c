"""What the price on a price list may be shown as reduced from (Directive 98/6/EC, Article 6a)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from domain.model import Offer
from domain.price_history import Priced, lowest_until
from domain.quote.basket import Basket
from domain.quote.terms import Terms
from domain.quote.terms.prices import LOWEST_PRICE_DAYS, PriceList, own_price
from domain.quote.tiers import Tier


class Reduction(NamedTuple):
    """What a price list's price may be shown against: the SKU's own price in its place, and the lowest of the 30 days
    before the list began. None is not known, or no reduction."""

    compare_at_minor: int | None = None
    lowest_price_minor: int | None = None


def reduction(
    tier: Tier, offer: Offer, basket: Basket, terms: Terms, history: Sequence[Priced], put_at: datetime | None
) -> Reduction:
    """What a tier by a price list may be shown against. `history` is what the variant cost, and `put_at` when its
    prices on lists were last changed: what they were before is not known. Other lists for everybody, in force in
    those days, count as well. Prices without the tax that they contain are shown against none."""
    price_list = None if tier.price_list_id is None else terms.price_lists.get(tier.price_list_id)
    own_minor = own_price(offer, basket.currency)
    if price_list is None or own_minor is None or tier.relieved_minor or tier.price_minor >= own_minor:
        return Reduction()
    began = price_list.starts_at
    lowest_minor = None if began is None else lowest_until(history, basket.currency, began)
    if began is None or lowest_minor is None or (put_at is not None and put_at > began):
        return Reduction(own_minor)
    return Reduction(own_minor, min([lowest_minor, *_listed_before(offer, basket, terms.price_lists, began)]))


def _listed_before(offer: Offer, basket: Basket, lists: Mapping[UUID, PriceList], until: datetime) -> Iterator[int]:
    """What one piece cost everybody, by other price lists, at any moment of the days before."""
    since = until - timedelta(days=LOWEST_PRICE_DAYS)
    for price in offer.prices:
        price_list = None if price.price_list_id is None else lists.get(price.price_list_id)
        if price_list is None or price.currency != basket.currency or price.min_quantity > 1 or price_list.groups:
            continue
        if price_list.countries and (basket.to is None or basket.to.country not in price_list.countries):
            continue
        begins_before = price_list.starts_at is None or price_list.starts_at < until
        if begins_before and (price_list.ends_at is None or price_list.ends_at > since):
            yield price.price_minor
