"""The rule that enough pieces are bought."""

from domain.quote.bounds import Pieces
from domain.quote.rules.core import Lack, Rule
from domain.quote.worksheet import EVERYTHING, Items, Worksheet


class Quantity(Rule, frozen=True, gc=False, tag="quantity"):
    """There are at least so many pieces of the items: one of them, to ask for a SKU or a category."""

    at_least: Pieces = 1
    items: Items = EVERYTHING

    def lacks(self, sheet: Worksheet) -> Lack | None:
        more = self.at_least - sum(part.quantity for part in self.items.among(sheet.reducible()))
        pieces = "piece" if more == 1 else "pieces"
        return Lack("too_few_pieces", f"{more} more {pieces} that it is for.", quantity=more) if more > 0 else None
