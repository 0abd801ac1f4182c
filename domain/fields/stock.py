"""Fields of what is said about stock."""

from typing import Final

from domain.fields.characters import one_line, shows_something
from domain.fields.core import Text, Whole
from domain.limits import MOVEMENT_MAX_QUANTITY, REASON_MAX_CHARS, STOCK_MAX_ON_HAND

REASON: Final = Text(
    "A reason",
    most=REASON_MAX_CHARS,
    spelling=one_line,
    fits=shows_something,
    code="nothing_shown",
    demand="This has nothing in it that could be shown.",
    examples=["Broken"],
)
REFERENCE: Final = Text("A reference", least=0, most=REASON_MAX_CHARS, spelling=one_line)
"""The delivery's, as its papers have it."""
RECEIVED: Final = Whole(1, MOVEMENT_MAX_QUANTITY)
ON_HAND: Final = Whole(0, STOCK_MAX_ON_HAND)
"""Pieces that were counted on the shelf."""
