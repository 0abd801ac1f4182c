"""The kinds of actions that promotions may have. A kind is a file here and a line in AnyAction: see docs/money.md."""

from typing import TypeAlias

from domain.quote.actions.amounts import Fixed, Percent
from domain.quote.actions.buy_get import BuyGet
from domain.quote.actions.gift import Gift

AnyAction: TypeAlias = (
    BuyGet  # some pieces cheaper for buying others
    | Fixed  # an amount off
    | Gift  # something for free
    | Percent  # a percentage off
)
"""The types of a promotion's action, told apart by `kind`."""
