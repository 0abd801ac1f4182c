"""The action that makes some pieces cheaper for buying others."""

from collections.abc import Sequence

from domain.quote.actions.core import Action, cheapest_first
from domain.quote.bounds import BasisPoints, Pieces
from domain.quote.worksheet import EVERYTHING, Items, Part
from domain.shares import BASIS_POINTS, half_up


class BuyGet(Action, frozen=True, gc=False, tag="buy_get"):
    """For every `buy_quantity` pieces of `buy`, takes `percent_bp` off `get_quantity` pieces of `get`, at most `times`
    times. No piece counts twice; those that get cheaper are the cheapest. `buy` and `get` may be the same: 3 for the
    price of 2 is buy 2, get 1."""

    buy_quantity: Pieces
    get_quantity: Pieces = 1
    buy: Items = EVERYTHING
    get: Items = EVERYTHING
    percent_bp: BasisPoints = BASIS_POINTS
    times: Pieces | None = None

    def __post_init__(self) -> None:
        if min(self.buy_quantity, self.get_quantity, 1 if self.times is None else self.times) < 1:
            raise ValueError("something is bought, and something got, at least once")
        if not 0 < self.percent_bp <= BASIS_POINTS:
            raise ValueError("a percentage is from 1 to 10,000 basis points")

    def value(self, currency: str) -> int:
        return self.percent_bp

    def scope(self, parts: Sequence[Part]) -> Sequence[Part]:
        return [part for part in parts if part.offer is not None and (part.offer in self.buy or part.offer in self.get)]

    def cuts(self, parts: Sequence[Part], currency: str) -> Sequence[int]:
        bought = [part.quantity if part.offer is not None and part.offer in self.buy else 0 for part in parts]
        gettable = [part.quantity if part.offer is not None and part.offer in self.get else 0 for part in parts]
        everything = sum(part.quantity for part in parts)
        times = min(
            sum(bought) // self.buy_quantity,
            sum(gettable) // self.get_quantity,
            everything // (self.buy_quantity + self.get_quantity),
        )
        times = times if self.times is None else min(times, self.times)
        # Some pieces may count as bought or as got: only as many may be got as leave enough to be bought.
        to_get, spare = times * self.get_quantity, sum(bought) - times * self.buy_quantity
        cuts = [0] * len(parts)
        for place in cheapest_first(parts):
            pieces = min(gettable[place], to_get, spare if bought[place] else to_get)
            to_get -= pieces
            spare -= pieces if bought[place] else 0
            part = parts[place]
            cuts[place] = half_up(part.left_minor * pieces * self.percent_bp, part.quantity * BASIS_POINTS)
        return cuts
