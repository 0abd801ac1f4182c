"""The deliveries that a basket could have, each as its quote would have it."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from domain.limits import DELIVERY_OPTIONS_MAX
from domain.model import Offer
from domain.quote.basket import Basket
from domain.quote.quoted import QuotedDelivery
from domain.quote.quoting import quote, serving
from domain.quote.terms import Terms


def delivery_options(
    basket: Basket, offers: Mapping[str, Offer], terms: Terms, at: datetime
) -> tuple[QuotedDelivery, ...]:
    """By each method that can deliver the basket, after discounts and with taxes, in the order of the terms: the first
    DELIVERY_OPTIONS_MAX of them."""
    if not (basket.lines and basket.delivers):
        return ()
    found = (
        quote(msgspec.structs.replace(basket, method_id=method.id), offers, terms, at).delivery
        for method in serving(basket, offers, terms, at)[:DELIVERY_OPTIONS_MAX]
    )
    return tuple(delivery for delivery in found if delivery is not None)
