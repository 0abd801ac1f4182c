"""The kinds of actions that promotions may have. A kind is a file here and a line in AnyAction: see docs/money.md."""

from typing import TypeAlias

from domain.quote.actions.amounts import Fixed, Percent
from domain.quote.actions.buy_get import BuyGet
from domain.quote.actions.gift import Gift

AnyAction: TypeAlias = (
    BuyGet  # some cheaper to who buys others
    | Fixed  # an amount off
    | Gift  # something for nothing
    | Percent  # a percentage off
)
"""What a promotion's action is read as, by its `kind`."""
