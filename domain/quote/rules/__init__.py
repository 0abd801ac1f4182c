"""The kinds of rules that promotions may have. A kind is a file here and a line in AnyRule: see docs/money.md."""

from typing import TypeAlias

from domain.quote.rules.buyer import Customer, FirstOrder, Group
from domain.quote.rules.country import Country
from domain.quote.rules.quantity import Quantity
from domain.quote.rules.subtotal import Subtotal

AnyRule: TypeAlias = (
    Country  # where the order goes
    | Customer  # who buys
    | FirstOrder  # for the first time
    | Group  # who belongs to it
    | Quantity  # how many pieces
    | Subtotal  # for how much
)
"""The types of a promotion's rules, told apart by `kind`."""
