"""The deliveries that a basket could have, each as in a quote with it."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from domain.limits import DELIVERY_OPTIONS_MAX
from domain.model import Offer
from domain.quote.basket import Basket
from domain.quote.goods import Goods, supplied_at
from domain.quote.places import Place
from domain.quote.quoted import QuotedDelivery, Take
from domain.quote.quoting import delivery_of
from domain.quote.terms import Terms


class DeliveryOptions(NamedTuple):
    """The deliveries, and what the promotions of a quote with each would take from their allowances. The prices are
    right only if the basket knows what was taken from all of these."""

    deliveries: tuple[QuotedDelivery, ...] = ()
    takes: tuple[Take, ...] = ()


def delivery_options(basket: Basket, offers: Mapping[str, Offer], terms: Terms, at: datetime) -> DeliveryOptions:
    """One for each method that can deliver the basket, after discounts and with taxes, in the order of the terms: the
    first DELIVERY_OPTIONS_MAX of them. The goods are priced once for each possible place of supply: the destination,
    and the place of collection."""
    if not (basket.lines and basket.delivers):
        return DeliveryOptions()
    goods_at: dict[Place | None, Goods] = {}
    found: list[QuotedDelivery] = []
    for method in terms.methods:
        place = supplied_at(basket, method, terms)
        if place not in goods_at:
            goods_at[place] = Goods(basket, offers, terms, at, place)
        goods = goods_at[place]
        if (delivery := method.delivery(goods.sheet, basket.to, goods.rates_for(method))) is None:
            continue
        goods.deliver(delivery)
        goods.tax_delivery()
        found.append(delivery_of(delivery, method, included=goods.tax_included))
        if len(found) == DELIVERY_OPTIONS_MAX:
            break
    return DeliveryOptions(tuple(found), tuple(take for goods in goods_at.values() for take in goods.takes))
