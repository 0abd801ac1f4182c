"""Allowances: everything that is limited by counting (uses of promotions and codes, budgets, what one buyer may buy) is
one ledger. The posted amount of a key is its limit, and the pending amount is what orders have taken from it. If a
limit has changed, the next order that takes from it adjusts the posted amount.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from domain.ledgers import Ledger, Move
from domain.model import Shop
from domain.quote.quoted import Take

ALLOWANCES: Final = Ledger("allowances")


def taken(shop: Shop) -> dict[str, int]:
    """How much has been taken so far, by key, as far as the shop is loaded."""
    return {key: balance.pending for key, balance in shop.balances_of(ALLOWANCES).items()}


def adjustments(shop: Shop, takes: Iterable[Take]) -> dict[str, int]:
    """By key, what to add to the posted amounts so that they match the current limits; without those that match."""
    found = {take.key: take.limit - shop.balance(ALLOWANCES, take.key).posted for take in takes}
    return {key: change for key, change in found.items() if change}


def takes_up(takes: Iterable[Take], adjusted: Mapping[str, int]) -> Iterable[Move]:
    """The moves of an order with these takes."""
    yield from ((ALLOWANCES, key, change, 0) for key, change in adjusted.items())
    yield from ((ALLOWANCES, take.key, 0, take.amount) for take in takes)


def gives_back(takes: Iterable[Take]) -> Iterable[Move]:
    """The moves when such an order is cancelled or expires."""
    return ((ALLOWANCES, take.key, 0, -take.amount) for take in takes)
