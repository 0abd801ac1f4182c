"""What one buyer pays for a SKU by quantity: the prices of a quote, before promotions. Shops show them to buyers who
have not put anything in a basket yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from domain.model import Offer, Wanted
from domain.quote.basket import Basket
from domain.quote.pricing import Pricing
from domain.quote.quoted import Remark
from domain.quote.terms import Terms
from domain.quote.terms.taxes import Taxing


class Tier(NamedTuple):
    """The price of one piece from `min_quantity` pieces on, by a price list, or the SKU's own (None). `relieved_minor`
    is the tax that was taken out of the price."""

    min_quantity: int
    price_minor: int
    price_list_id: UUID | None
    relieved_minor: int = 0


def tiers(offer: Offer, basket: Basket, terms: Terms, at: datetime) -> list[Tier] | Remark:
    """What the basket's buyer pays for the SKU at a moment, the fewest pieces first; or why it is not sold to them. A
    quantity begins a new tier if its price or price list differs from that for fewer pieces."""
    taxing = None if terms.taxes is None else Taxing(terms.taxes, basket, at, provider=terms.tax_provider)
    pricing = Pricing(basket, {offer.sku: offer}, terms.price_lists, taxing, at)
    quantities = {1, *_quantities(offer, basket, terms, at)}
    found: list[Tier] = []
    for quantity in sorted(quantities):
        parts, remarks = pricing.lines((Wanted(offer.sku, quantity),))
        if remarks and not found:
            why = remarks[0]
        for part in parts:
            tier = Tier(quantity, part.unit_minor, part.price_list_id, part.relieved_minor)
            if not found or tier[1:] != found[-1][1:]:
                found.append(tier)
    return found or why


def _quantities(offer: Offer, basket: Basket, terms: Terms, at: datetime) -> Iterator[int]:
    """Where a price by a list that is for the buyer begins. The SKU's own prices are for one piece and more."""
    for price in offer.prices:
        price_list = None if price.price_list_id is None else terms.price_lists.get(price.price_list_id)
        if price.currency == basket.currency and price_list is not None and price_list.is_for(basket, at):
            yield price.min_quantity
