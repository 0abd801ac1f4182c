"""The interface of rules: a rule is a condition of a promotion, as data, which says what it lacks."""

from typing import NamedTuple

import msgspec

from domain.quote.worksheet import Worksheet


class Lack(NamedTuple):
    """Why a promotion does not apply: a stable code and a sentence for the buyer. `amount_minor` or `quantity` is how
    much more is needed, if buying more would help."""

    code: str
    message: str
    amount_minor: int | None = None
    quantity: int | None = None


SIGN_IN = Lack("sign_in", "It is for signed-in customers only.")
"""The buyer is not known, and it matters who it is."""


class Rule(msgspec.Struct, frozen=True, gc=False, tag_field="kind", forbid_unknown_fields=True):
    """A condition. In JSON it is an object whose `kind` is the class's tag. It reads the worksheet and changes nothing.
    If it cannot be decided, because nobody has said who buys or where to, it does not hold."""

    def lacks(self, sheet: Worksheet) -> Lack | None:
        """What it lacks, or None if it holds."""
        raise NotImplementedError(type(self).__name__)  # every kind says its own
