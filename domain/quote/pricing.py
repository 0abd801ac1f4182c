"""Turns requested lines into lines of a worksheet, each with its price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from domain.model import Offer, Wanted
from domain.quote.basket import Basket
from domain.quote.quoted import Remark
from domain.quote.terms.prices import PriceList, own_price, price_of
from domain.quote.terms.taxes import Taxing
from domain.quote.worksheet import Part


class Pricing:
    """Prices for one basket. For a buyer who is exempt from tax, the included tax is taken out of prices."""

    __slots__ = ("_at", "_basket", "_lists", "_offers", "_taxing")

    def __init__(
        self,
        basket: Basket,
        offers: Mapping[str, Offer],
        lists: Mapping[UUID, PriceList],
        taxing: Taxing | None,
        at: datetime,
    ) -> None:
        self._basket = basket
        self._offers = offers
        self._lists = lists
        self._taxing = taxing
        self._at = at

    def lines(self, wanted: Iterable[Wanted]) -> tuple[list[Part], list[Remark]]:
        """The lines that can be sold, and a remark on each other one."""
        parts: list[Part] = []
        remarks: list[Remark] = []
        for place, line in enumerate(wanted):
            found = self._priced(line)
            if isinstance(found, Part):
                parts.append(found)
            else:
                remarks.append(Remark(f"/lines/{place}/sku", *found))
        return parts, remarks

    def gift(self, wanted: Wanted) -> Part | None:
        """The line of a gift; None if the SKU is not for sale, or is a gift card, which would be issued at full
        value."""
        found = self._priced(wanted)
        if not isinstance(found, Part) or (found.offer is not None and found.offer.gift_card):
            return None
        found.gift = True
        return found

    def _priced(self, wanted: Wanted) -> Part | tuple[str, str]:
        """The line, or the code and message that say why there is none."""
        offer = self._offers.get(wanted.sku)
        if offer is None:
            return "unknown_sku", "There is no such SKU."
        if not offer.on_sale:
            return "not_on_sale", "It is not for sale."
        quantity, currency = wanted.quantity, self._basket.currency
        if not offer.prices and offer.currency == currency:
            own_minor: int | None = offer.price_minor
            price_minor, list_id = offer.price_minor, None
        elif (found := price_of(offer, quantity, self._basket, self._lists, self._at)) is not None:
            own_minor = own_price(offer, currency)
            price_minor, list_id = found
        else:
            return "not_sold_in_currency", f"It is not sold in {currency}."
        part = Part(offer, quantity, price_minor, quantity * price_minor, offer.tax_class, list_id, own_minor)
        if self._taxing is not None and not offer.gift_card:
            self._taxing.relieve(part)
        return part
