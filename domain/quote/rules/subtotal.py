"""The rule that enough is spent."""

from domain.money import written
from domain.quote.bounds import Budgets
from domain.quote.rules.core import Lack, Rule
from domain.quote.worksheet import EVERYTHING, Items, Worksheet


class Subtotal(Rule, frozen=True, gc=False, tag="subtotal"):
    """The items cost at least so much, after the discounts of the stages before. The amounts are by currency; in one
    that is not named, the rule does not hold."""

    at_least_minor: Budgets
    items: Items = EVERYTHING

    def lacks(self, sheet: Worksheet) -> Lack | None:
        currency = sheet.basket.currency
        if (wanted := self.at_least_minor.get(currency)) is None:
            return Lack("not_in_currency", f"It does not apply in {currency}.")
        more = wanted - sum(part.left_minor for part in self.items.among(sheet.reducible()))
        return Lack("subtotal_too_low", f"{written(more, currency)} more.", amount_minor=more) if more > 0 else None
