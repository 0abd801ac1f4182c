"""Places, as far as prices, taxes and deliveries depend on them; and areas, which are sets of places."""

from __future__ import annotations

from typing import Self

import msgspec


def _plain(text: str) -> str:
    return "".join(text.split()).replace("-", "").upper()


class Place(msgspec.Struct, frozen=True, gc=False):
    """A country (ISO 3166, two letters), a region in it (the second half of ISO 3166-2) and a postal code; the last two
    may be blank. `Place.of` spells them the way areas do: in upper case, postal codes without spaces and hyphens."""

    country: str
    region: str = ""
    postal: str = ""

    @classmethod
    def of(cls, country: str, region: str = "", postal: str = "") -> Self:
        """The place in an address as somebody wrote it."""
        country, region = country.strip().upper(), region.strip().upper()
        return cls(country, region.removeprefix(f"{country}-"), _plain(postal))


class PostalCodes(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """The postal codes that begin with something from `first` to `last`, which are equally long: `10000` to `14199`
    are Berlin's, `IV` to `IV` is all of Inverness."""

    first: str
    last: str

    def __post_init__(self) -> None:
        if len(self.first) != len(self.last) or not len(self.first) > 0 or self.first > self.last:
            raise ValueError("postal codes from one to another that is as long, and not before it")
        if _plain(self.first) != self.first or _plain(self.last) != self.last:
            raise ValueError("postal codes in upper case, without spaces and hyphens")

    def __contains__(self, postal: str) -> bool:
        return self.first <= postal[: len(self.first)] <= self.last


class Area(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A country, a region of it, or some postal codes in it or in the region. Without a country, it is everywhere."""

    country: str = ""
    region: str = ""
    postal_codes: PostalCodes | None = None

    def __contains__(self, place: Place) -> bool:
        return (
            (not self.country or self.country == place.country)
            and (not self.region or self.region == place.region)
            and (self.postal_codes is None or place.postal in self.postal_codes)
        )

    @property
    def precision(self) -> tuple[int, bool, bool]:
        """A sort key: of two areas that contain a place, the one with the greater precision takes precedence."""
        codes = self.postal_codes
        return (0 if codes is None else len(codes.first), self.region != "", self.country != "")
