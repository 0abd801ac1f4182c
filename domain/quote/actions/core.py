"""The interface of actions: an action is data that says what a promotion takes off, and how much."""

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.model import Wanted
from domain.quote.rules.core import Lack
from domain.quote.worksheet import Part

LINES: Final = "lines"
ORDER: Final = "order"
DELIVERY: Final = "delivery"
TARGETS: Final = (LINES, ORDER, DELIVERY)
"""What an action reduces, in the order in which they are reduced: lines first, then the order, then the delivery. A
reduction of the order is split over all of its lines."""


class Action(msgspec.Struct, frozen=True, gc=False, tag_field="kind", forbid_unknown_fields=True):
    """What a promotion does. In JSON it is an object whose `kind` is the class's tag. It reads the parts that it is
    given and changes none: they are lines of the basket, or the delivery, each with what it still costs."""

    @property
    def applies_to(self) -> str:
        """One of TARGETS."""
        return LINES

    def value(self, currency: str) -> int:
        """The `value` in its discounts: basis points, minor units, or pieces."""
        raise NotImplementedError(type(self).__name__)  # every kind defines its own

    def lacks(self, currency: str) -> Lack | None:
        """Why it cannot do anything in this currency, or None."""
        return None

    def scope(self, parts: Sequence[Part]) -> Sequence[Part]:
        """The parts that it applies to."""
        return parts

    def cuts(self, parts: Sequence[Part], currency: str) -> Sequence[int]:
        """What it takes off each of the parts, which are all in its scope; never more than `left_minor`."""
        return [0] * len(parts)

    def gifts(self) -> Sequence[Wanted]:
        """What it adds for free."""
        return ()


def pieces_of(parts: Sequence[Part], most: int | None) -> list[int]:
    """How many pieces of each part are meant, if there are at most `most` in all: the cheapest first."""
    if most is None:
        return [part.quantity for part in parts]
    pieces = [0] * len(parts)
    for place in cheapest_first(parts):
        pieces[place] = min(parts[place].quantity, most)
        most -= pieces[place]
    return pieces


def cheapest_first(parts: Sequence[Part]) -> list[int]:
    """The indexes of the parts, by the price of a piece."""
    return sorted(range(len(parts)), key=lambda place: parts[place].unit_minor)
