"""The real baskets that shoppers order, on sale and in stock; and whether all their orders are in the log."""

from __future__ import annotations

import random
from typing import Final

from domain.model import Wanted
from loadtests import baskets
from loadtests.frame.run import Run
from loadtests.frame.scenario import Outcome
from loadtests.frame.shoppers import Shopper, Told
from loadtests.frame.staff import Goods, Staff
from loadtests.frame.verdict import Check, check
from ops.articles import Article

PLACED: Final = "orders placed"

# Read now: it takes a second, in which nobody in this process could act.
_INVOICES: Final = baskets.shipped()


def stock_baskets(staff: Staff, rounds: int) -> None:
    """Puts everything in the baskets on sale, and stock for all of them on the shelves, `rounds` times over."""
    demand = baskets.demand(_INVOICES.baskets)
    staff.stock([Goods(article, demand.get(article.sku, 0) * rounds) for article in _INVOICES.products])


def articles() -> tuple[Article, ...]:
    """Everything in the baskets."""
    return _INVOICES.products


def order_basket(shopper: Shopper) -> Told:
    """Orders one of the baskets, and tallies what came of it."""
    told = shopper.order(_random_lines())
    tally(shopper.run_, told)
    return told


def tally(run: Run, told: Told) -> None:
    """Counts an order, or why there is none."""
    run.tally(PLACED if told.done else f"told: {told.code}")


def orders_are_in_the_log(outcome: Outcome) -> Check:
    """Whether each order that a shopper was told of is in the log, and no other."""
    logged = sum(event["type"] == "order.placed" for event in outcome.events())
    told = outcome.tallies[PLACED]
    return check(
        "orders told of are those in the log",
        logged == told,
        wanted=f"{told:,} orders",
        measured=f"{logged:,} in the log",
        because="an accepted order is never lost, and is placed once",
    )


def all_had_an_outcome(outcome: Outcome) -> Check:
    """Whether nobody was left without an answer, however often they had to come back."""
    left = sum(outcome.tallies[f"told: {code}"] for code in ("gave_up", "undecided"))
    return check(
        "every shopper had an outcome",
        not left,
        wanted="0 without",
        measured=f"{left:,} without",
        because="who is turned away for a moment is told when to come back, and is served then",
    )


def _random_lines() -> tuple[Wanted, ...]:
    return random.choice(_INVOICES.baskets).lines
