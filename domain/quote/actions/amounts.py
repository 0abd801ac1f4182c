"""The actions that take a percentage or an amount off."""

from collections.abc import Sequence

from domain.quote.actions.core import LINES, TARGETS, Action, pieces_of
from domain.quote.bounds import BasisPoints, Minors, Pieces
from domain.quote.rules.core import Lack
from domain.quote.worksheet import EVERYTHING, Items, Part
from domain.shares import BASIS_POINTS, half_up, percent_of, shares


class _Reduction(Action, frozen=True, gc=False):
    """`target` is one of TARGETS. Of lines, `items` are those meant: `each` of them is reduced on its own, and at most
    `max_quantity` pieces, the cheapest; or the reduction goes `across` all of them."""

    target: str = LINES
    items: Items = EVERYTHING
    across: bool = False
    max_quantity: Pieces | None = None

    def __post_init__(self) -> None:
        if self.target not in TARGETS:
            raise ValueError(f"{self.target!r} is not a target")
        if self.target != LINES and (self.across or self.max_quantity is not None or self.items != EVERYTHING):
            raise ValueError("items, across and max_quantity are about lines")
        if self.across and self.max_quantity is not None:
            raise ValueError("what goes across lines goes across all their pieces")
        if self.max_quantity is not None and self.max_quantity < 1:
            raise ValueError("at most 0 pieces are none")

    @property
    def applies_to(self) -> str:
        return self.target

    def scope(self, parts: Sequence[Part]) -> Sequence[Part]:
        return self.items.among(parts) if self.target == LINES else parts

    @property
    def _on_all(self) -> bool:
        return self.across or self.target != LINES


class Percent(_Reduction, frozen=True, gc=False, tag="percent", kw_only=True):
    """Takes `percent_bp` basis points off."""

    percent_bp: BasisPoints

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.percent_bp <= BASIS_POINTS:
            raise ValueError("a percentage is from 1 to 10,000 basis points")

    def value(self, currency: str) -> int:
        return self.percent_bp

    def cuts(self, parts: Sequence[Part], currency: str) -> Sequence[int]:
        if self._on_all:
            lefts = [part.left_minor for part in parts]
            return shares(percent_of(sum(lefts), self.percent_bp), lefts)
        return [
            half_up(part.left_minor * pieces * self.percent_bp, part.quantity * BASIS_POINTS)
            for part, pieces in zip(parts, pieces_of(parts, self.max_quantity), strict=True)
        ]


class Fixed(_Reduction, frozen=True, gc=False, tag="fixed", kw_only=True):
    """Takes an amount off: each piece's price, or once what they cost together. The amounts are by currency; in one
    that is not named it does nothing."""

    amounts_minor: Minors

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.amounts_minor or min(self.amounts_minor.values()) < 1:
            raise ValueError("an amount is at least one minor unit")

    def value(self, currency: str) -> int:
        return self.amounts_minor[currency]

    def lacks(self, currency: str) -> Lack | None:
        return None if currency in self.amounts_minor else Lack("not_in_currency", f"It does not apply in {currency}.")

    def cuts(self, parts: Sequence[Part], currency: str) -> Sequence[int]:
        amount = self.amounts_minor[currency]
        if self._on_all:
            lefts = [part.left_minor for part in parts]
            return shares(min(amount, sum(lefts)), lefts)
        return [
            min(amount * pieces, half_up(part.left_minor * pieces, part.quantity))
            for part, pieces in zip(parts, pieces_of(parts, self.max_quantity), strict=True)
        ]
