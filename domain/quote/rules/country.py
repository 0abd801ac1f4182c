"""The rule about where an order goes."""

from domain.quote import bounds
from domain.quote.rules.core import Lack, Rule
from domain.quote.worksheet import Worksheet


class Country(Rule, frozen=True, gc=False, tag="country"):
    """The order goes to one of these countries (ISO 3166, two letters)."""

    countries: bounds.Many[bounds.Country]

    def lacks(self, sheet: Worksheet) -> Lack | None:
        if sheet.basket.to is None:
            return Lack("address_needed", "It depends on where the order goes.")
        return (
            None if sheet.basket.to.country in self.countries else Lack("other_countries", "It does not apply there.")
        )
