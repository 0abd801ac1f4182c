"""The shop's taxes, and which of them apply to a basket."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, NamedTuple

import msgspec

from domain.quote.basket import Basket
from domain.quote.bounds import LIST_MAX, BasisPoints, BeyondBasisPoints, Country, Many, Moment, Name, Word
from domain.quote.periods import in_period
from domain.quote.places import Area, Place
from domain.quote.quoted import EXEMPT, EXPORT, REVERSE_CHARGE, STANDARD, ZERO
from domain.quote.worksheet import Part
from domain.shares import BASIS_POINTS, MILLION, half_up

BY_LINE: Final = "line"
BY_ORDER: Final = "order"
ROUNDINGS: Final = (BY_LINE, BY_ORDER)


_PPM_OF_BASIS_POINT: Final = MILLION // BASIS_POINTS


def in_ppm(rate_bp: int, extra_ppm: int) -> int:
    """A rate in parts per million, from its basis points and the remainder beyond them."""
    return rate_bp * _PPM_OF_BASIS_POINT + extra_ppm


class TaxRate(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A tax on goods of a class in an area, in basis points; `extra_ppm` is what it has beyond whole ones, in parts per
    million: 9.975 % is 997 basis points and 50 millionths. Of the rates of one name that cover a place, the most
    precise one is charged; those of different names are charged together, as a country's and a region's may be.
    `reason` is STANDARD, ZERO or EXEMPT; a rate of 0 is never STANDARD."""

    name: Name
    area: Area
    tax_class: Word
    rate_bp: BasisPoints
    reason: str = STANDARD
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    extra_ppm: BeyondBasisPoints = 0

    @property
    def rate_ppm(self) -> int:
        """The whole rate, in parts per million."""
        return in_ppm(self.rate_bp, self.extra_ppm)

    def __post_init__(self) -> None:
        if not self.area.country:
            raise ValueError("a tax is some country's")
        if self.reason not in (STANDARD, ZERO, EXEMPT):
            raise ValueError(f"{self.reason!r} is no reason that a rate can have")
        if self.rate_bp < 0 or (self.rate_ppm == 0) == (self.reason == STANDARD):
            raise ValueError("a rate above 0 is standard, and a rate of 0 says why")


class TaxPolicy(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """How a country's customers see taxes: whether prices contain them, and whether they are rounded for each line or
    once for the order (ROUNDINGS)."""

    included: bool = False
    rounding: str = BY_LINE

    def __post_init__(self) -> None:
        if self.rounding not in ROUNDINGS:
            raise ValueError(f"{self.rounding!r} is not a way to round")


class Taxes(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The shop's taxes. `home` is its own country, whose rates it estimates by until it knows where a basket goes. In
    the other countries of its `union`, a business with a tax id declares the tax itself (reverse charge). Goods for a
    country that no rate is known of are exports."""

    home: Country
    rates: Annotated[tuple[TaxRate, ...], msgspec.Meta(max_length=LIST_MAX)] = ()
    policy: TaxPolicy = TaxPolicy()
    policies: Annotated[dict[Country, TaxPolicy], msgspec.Meta(max_length=LIST_MAX)] = {}
    union: Many[Country] = frozenset()


class Charged(NamedTuple):
    """A tax that is charged on a line."""

    name: str
    country: str
    rate_bp: int
    reason: str
    extra_ppm: int = 0

    @property
    def rate_ppm(self) -> int:
        """The whole rate, in parts per million."""
        return in_ppm(self.rate_bp, self.extra_ppm)


class Taxing:
    """The taxes of one basket at one moment: the policy, and the rates, or the reason why there are none. With a
    `provider`, only that knows rates and reasons."""

    def __init__(self, taxes: Taxes, basket: Basket, at: datetime, *, provider: str | None = None) -> None:
        self._taxes = taxes
        self._at = at
        self._charged: dict[str, tuple[Charged, ...]] = {}
        self.place = basket.to or Place(taxes.home)
        self.policy = taxes.policies.get(self.place.country, taxes.policy)
        self.provider = provider
        self.relief = None if provider else self._relief(basket)

    def _relief(self, basket: Basket) -> str | None:
        """Why this buyer pays no tax on anything, or None."""
        country, home = self.place.country, self._taxes.home
        if basket.tax_exempt:
            return EXEMPT
        if basket.tax_id is not None and country != home and {country, home} <= self._taxes.union:
            return REVERSE_CHARGE
        if country != home and all(rate.area.country != country for rate in self._taxes.rates):
            return EXPORT
        return None

    def charged(self, tax_class: str) -> tuple[Charged, ...]:
        """The taxes charged on goods of a class; never empty: a tax of 0 gives the reason."""
        found = self._charged.get(tax_class)
        if found is None:
            if self.relief is not None:
                found = (Charged("", self.place.country, 0, self.relief),)
            else:
                rates = self._of_place(tax_class, self.place)
                found = tuple(
                    Charged(rate.name, rate.area.country, rate.rate_bp, rate.reason, rate.extra_ppm) for rate in rates
                )
                found = found or (Charged("", self.place.country, 0, ZERO),)
            self._charged[tax_class] = found
        return found

    def _of_place(self, tax_class: str, place: Place) -> tuple[TaxRate, ...]:
        by_name: dict[str, TaxRate] = {}
        for rate in self._taxes.rates:
            if (
                rate.area.country == place.country  # a cheap check that rules out most rates
                and rate.tax_class == tax_class
                and place in rate.area
                and in_period(self._at, rate.starts_at, rate.ends_at)
                and (rate.name not in by_name or _precision(rate) > _precision(by_name[rate.name]))
            ):
                by_name[rate.name] = rate
        return tuple(by_name[name] for name in sorted(by_name))

    def relieve(self, part: Part) -> None:
        """Takes the included tax out of a price if this buyer pays none: the tax of the place, or, if the place has
        none, that of the shop's own country."""
        if self.relief is None or not self.policy.included:
            return
        rates = self._of_place(part.tax_class, self.place) or self._of_place(part.tax_class, Place(self._taxes.home))
        part.relieved_minor = included_in(part.unit_minor, sum(rate.rate_ppm for rate in rates))
        part.unit_minor -= part.relieved_minor
        part.left_minor = part.quantity * part.unit_minor


def _precision(rate: TaxRate) -> tuple[tuple[int, bool, bool], int]:
    """A sort key. Of rates for the same area, the highest counts, so that their order does not matter."""
    return (rate.area.precision, rate.rate_ppm)


def included_in(gross_minor: int, rate_ppm: int) -> int:
    """The tax included in an amount at a rate in parts per million."""
    return gross_minor - half_up(gross_minor * MILLION, MILLION + rate_ppm)


def added_to(net_minor: int, rate_ppm: int) -> int:
    """The tax added to an amount at a rate in parts per million."""
    return half_up(net_minor * rate_ppm, MILLION)
