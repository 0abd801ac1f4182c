"""The real baskets that shoppers order, on sale and in stock."""

from __future__ import annotations

import random
from typing import Final

from domain.model import Wanted
from loadtests import baskets
from loadtests.frame.answers import PLACED
from loadtests.frame.shoppers import Shopper, Told
from loadtests.frame.staff import Goods, Staff
from ops.articles import Article

# Read at import: it takes a second, which would stall all users of this process later.
_INVOICES: Final = baskets.shipped()


def stock_baskets(staff: Staff, rounds: int) -> None:
    """Puts everything in the baskets on sale, with enough stock to order all of them `rounds` times."""
    demand = baskets.demand(_INVOICES.baskets)
    staff.stock([Goods(article, demand.get(article.sku, 0) * rounds) for article in _INVOICES.products])


def articles() -> tuple[Article, ...]:
    """Everything in the baskets."""
    return _INVOICES.products


def order_basket(shopper: Shopper) -> Told:
    """Orders one of the baskets, and tallies the outcome."""
    told = shopper.order(_random_lines())
    shopper.tally(told, PLACED)
    return told


def _random_lines() -> tuple[Wanted, ...]:
    return random.choice(_INVOICES.baskets).lines
