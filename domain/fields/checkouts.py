"""Fields of checkouts."""

from typing import Final

from domain.fields.characters import lines, one_line, shows_something
from domain.fields.core import Text
from domain.limits import CHECKOUT_NOTE_MAX_CHARS, PROMOTION_CODE_MAX_CHARS

_NOTHING_SHOWN: Final = "This has no visible characters."

PROMOTION_CODE: Final = Text(
    "A code",
    most=PROMOTION_CODE_MAX_CHARS,
    spelling=one_line,
    fits=shows_something,
    code="nothing_shown",
    demand=_NOTHING_SHOWN,
    examples=["WELCOME10"],
)
"""As it was typed; promotions are matched case-insensitively."""
NOTE: Final = Text("A note", least=0, most=CHECKOUT_NOTE_MAX_CHARS, spelling=lines, examples=["Please ring twice."])

GIFT_CARD_CODE: Final = Text(
    "A code", most=PROMOTION_CODE_MAX_CHARS, spelling=one_line, examples=["7KQ2M-9D3XA-TTP4E-0WZ8C"]
)
"""As it was typed; `runtime/gift_card_codes.py` parses it."""
