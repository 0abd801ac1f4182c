"""The rules about the buyer. They never hold for a guest, about whom nothing is known."""

from domain.quote import bounds
from domain.quote.rules.core import SIGN_IN, Lack, Rule
from domain.quote.worksheet import Worksheet

_OTHERS = Lack("other_customers", "It is for certain customers only.")


class Customer(Rule, frozen=True, gc=False, tag="customer"):
    """The buyer is one of these customers."""

    ids: bounds.Many[bounds.Principal]

    def lacks(self, sheet: Worksheet) -> Lack | None:
        if sheet.basket.customer_id is None:
            return SIGN_IN
        return None if sheet.basket.customer_id in self.ids else _OTHERS


class Group(Rule, frozen=True, gc=False, tag="group"):
    """The buyer is in one of these groups."""

    groups: bounds.Many[bounds.Word]

    def lacks(self, sheet: Worksheet) -> Lack | None:
        if not self.groups.isdisjoint(sheet.basket.groups):
            return None
        return SIGN_IN if sheet.basket.customer_id is None else _OTHERS


class FirstOrder(Rule, frozen=True, gc=False, tag="first_order"):
    """It is the buyer's first order."""

    def lacks(self, sheet: Worksheet) -> Lack | None:
        if sheet.basket.first_order is None:
            return SIGN_IN
        return None if sheet.basket.first_order else Lack("not_first_order", "It is for first orders only.")
