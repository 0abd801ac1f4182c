"""Allowances: what is limited by counting (uses of promotions and codes, budgets, what one buyer may buy) is one
ledger. Under each key is posted how much there is in all, and pending is what orders have taken of it. What a limit is
may change: the next order that takes from it brings what is posted into line.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from domain.ledgers import Ledger, Move
from domain.model import Shop
from domain.quote.quoted import Take

ALLOWANCES: Final = Ledger("allowances")


def taken(shop: Shop) -> dict[str, int]:
    """How much was taken so far, by key, as far as the shop is loaded."""
    return {key: balance.pending for key, balance in shop.balances_of(ALLOWANCES).items()}


def adjustments(shop: Shop, takes: Iterable[Take]) -> dict[str, int]:
    """What to add to what is posted, so that it is what the limits say now; by key, without those that fit."""
    found = {take.key: take.limit - shop.balance(ALLOWANCES, take.key).posted for take in takes}
    return {key: change for key, change in found.items() if change}


def takes_up(takes: Iterable[Take], adjusted: Mapping[str, int]) -> Iterable[Move]:
    """The moves of an order that takes this."""
    yield from ((ALLOWANCES, key, change, 0) for key, change in adjusted.items())
    yield from ((ALLOWANCES, take.key, 0, take.amount) for take in takes)


def gives_back(takes: Iterable[Take]) -> Iterable[Move]:
    """The moves when such an order comes to nothing."""
    return ((ALLOWANCES, take.key, 0, -take.amount) for take in takes)
