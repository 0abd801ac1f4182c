"""Postal addresses: where goods and bills go. An address is personal data, so it is sent and stored as one private
text."""

from __future__ import annotations

from typing import Self

import msgspec

from domain.fields import addresses as fields
from domain.model import Personal


class Address(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address. `country` is ISO 3166-1 (two letters), `region` the rest of ISO 3166-2. What a country does not use
    is empty."""

    name: str
    line1: str
    city: str
    country: str
    line2: str = ""
    region: str = ""
    postal_code: str = ""

    def __post_init__(self) -> None:
        kept = (
            (fields.ADDRESS_LINE, self.name),
            (fields.ADDRESS_LINE, self.line1),
            (fields.MORE_OF_ADDRESS, self.line2),
            (fields.ADDRESS_LINE, self.city),
            (fields.REGION, self.region),
            (fields.POSTAL_CODE, self.postal_code),
            (fields.COUNTRY, self.country),
        )
        if not all(field.keeps(text) for field, text in kept):
            raise ValueError("not a normalized address")

    def sealed(self) -> Personal:
        """The address as it is sent and stored."""
        return Personal(msgspec.json.encode(self).decode())

    @classmethod
    def opened(cls, sealed: Personal) -> Self:
        """The address in the result of `sealed`. Raises ValueError for anything else."""
        return msgspec.json.decode(sealed.value, type=cls)
