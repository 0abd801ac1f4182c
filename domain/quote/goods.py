"""The goods of a basket, priced and with their promotions: the common part of all its possible deliveries. Deliveries
can be tried on them one after another, and each costs what it would cost alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from uuid import UUID

import msgspec

from domain.model import Offer
from domain.quote import live_rates
from domain.quote.basket import Basket, RateQuestion
from domain.quote.codes import candidates
from domain.quote.estimates import put_estimate
from domain.quote.places import Place
from domain.quote.pricing import Pricing
from domain.quote.promoting import Promoting
from domain.quote.quoted import Remark, Take
from domain.quote.taxing import tax
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import Method
from domain.quote.terms.taxes import BY_LINE, Taxing
from domain.quote.worksheet import Part, Worksheet


def supplied_at(basket: Basket, method: Method | None, terms: Terms) -> Place | None:
    """The place of supply with a method that may be chosen. A shop without taxes has no country of its own."""
    return basket.to if method is None or terms.taxes is None else method.supplies_at(basket.to, terms.taxes.home)


class Goods:
    """The goods of one basket, with the prices, promotions and taxes of their place of supply (`at`). `requirements`
    name what cannot be priced."""

    def __init__(
        self,
        basket: Basket,
        offers: Mapping[str, Offer],
        terms: Terms,
        at: datetime,
        place: Place | None,
        *,
        explain: bool = False,
    ) -> None:
        here = basket if place == basket.to else msgspec.structs.replace(basket, to=place)
        self._to, self._terms = basket.to, terms
        self.taxing = None if terms.taxes is None else Taxing(terms.taxes, here, at, provider=terms.tax_provider)
        pricing = Pricing(here, offers, terms.price_lists, self.taxing, at)
        lines, self.requirements = pricing.lines(here.lines)
        self.sheet = Worksheet(here, at, lines)
        self._unknown: list[Remark] = []
        self._promoting = None
        if terms.promotions or here.codes:
            found, self._unknown = candidates(here, terms)
            self._promoting = Promoting(self.sheet, found, pricing.gift, explain=explain)
            self._promoting.on_goods()

    @property
    def remarks(self) -> list[Remark]:
        """The remarks on the codes and promotions so far."""
        return self._unknown if self._promoting is None else self._unknown + self._promoting.remarks

    @property
    def takes(self) -> list[Take]:
        """What the promotions so far take from their allowances."""
        return [] if self._promoting is None else list(self._promoting.takes)

    @property
    def tax_included(self) -> bool:
        """Whether the prices contain their taxes."""
        return self.taxing is not None and self.taxing.policy.included

    def rate_question(self) -> RateQuestion | None:
        """What a delivery provider has to be asked about them; None if nothing."""
        return live_rates.question(self.sheet, self._to, self._terms)

    def rates_for(self, method: Method | None) -> Mapping[UUID, int] | None:
        """What live methods cost, if this is one; None as long as that is not known."""
        return live_rates.NO_RATES if method is None or not method.is_asked else self._rates

    @cached_property
    def _rates(self) -> Mapping[UUID, int] | None:
        return live_rates.rates(self.sheet, self._to, self._terms)

    def deliver(self, delivery: Part | None) -> None:
        """Puts a delivery with its promotions on the worksheet, in place of the previous one; None for no delivery."""
        self.sheet.delivery = delivery
        if delivery is not None and self.taxing is not None:
            self.taxing.relieve(delivery)
        if self._promoting is not None:
            self._promoting.on_delivery()

    def tax(self) -> Remark | None:
        """Puts the taxes on all parts, in place of previous ones; if they are not known, returns what is missing."""
        return self._tax(self.sheet.parts())

    def tax_delivery(self) -> None:
        """Taxes the delivery as when all parts are taxed. It depends on the goods, unless taxes are rounded for each
        line."""
        assert self.sheet.delivery is not None, "there is a delivery to tax"
        by_itself = self.taxing is None or (self.taxing.provider is None and self.taxing.policy.rounding == BY_LINE)
        self._tax([self.sheet.delivery] if by_itself else self.sheet.parts())

    def _tax(self, parts: Sequence[Part]) -> Remark | None:
        if self.taxing is None:
            return None
        if self.taxing.provider is not None:
            return put_estimate(self.sheet, parts, self.taxing)
        tax(parts, self.taxing)
        return None
