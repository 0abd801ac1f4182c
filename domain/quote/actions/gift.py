"""The action that adds something for free."""

from collections.abc import Sequence

from domain.limits import LINE_MAX_QUANTITY
from domain.model import Wanted
from domain.quote.actions.core import Action
from domain.quote.bounds import Pieces
from domain.quote.worksheet import Part


class Gift(Action, frozen=True, gc=False, tag="gift"):
    """Adds pieces of a SKU at their price, and takes all of it off. What is not on sale, not in the basket's
    currency, or a gift card is not given."""

    sku: str
    quantity: Pieces = 1

    def __post_init__(self) -> None:
        if not 0 < self.quantity <= LINE_MAX_QUANTITY:
            raise ValueError("a gift is at least one piece")

    def value(self, currency: str) -> int:
        return self.quantity

    def scope(self, parts: Sequence[Part]) -> Sequence[Part]:
        return ()

    def gifts(self) -> Sequence[Wanted]:
        return (Wanted(self.sku, self.quantity),)
