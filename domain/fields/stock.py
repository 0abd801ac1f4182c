"""Fields of stock."""

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
    demand="This has no visible characters.",
    examples=["Broken"],
)
REFERENCE: Final = Text("A reference", least=0, most=REASON_MAX_CHARS, spelling=one_line)
"""That of a delivery, as on its papers."""
RECEIVED: Final = Whole(1, MOVEMENT_MAX_QUANTITY)
ON_HAND: Final = Whole(0, STOCK_MAX_ON_HAND)
"""Pieces counted on the shelf."""
