"""Numbers that people read aloud: of orders, of invoices, of credit notes. Each series counts for itself, without gaps,
and a number is taken where the log is written, so none is lost with an order that was refused.
"""

import re
from typing import Final

ORDERS: Final = "T"
INVOICES: Final = "INV"
CREDIT_NOTES: Final = "CN"
SERIES: Final = (ORDERS, INVOICES, CREDIT_NOTES)
"""All series. In this order, the event counter has a column for each."""

NUMBER_MAX_CHARS: Final = 40
"""Of a number as somebody may type it."""

_DIGITS: Final = 6
_TYPED: Final = re.compile(rf"({'|'.join(SERIES)})[ -]?0*([1-9][0-9]{{0,17}})", re.IGNORECASE)


def numbered(series: str, count: int) -> str:
    """How the number with this count, from 1, is written: `T-000123`. Longer ones just grow."""
    assert series in SERIES, f"{series!r} is not a series"
    assert count >= 1, "a series begins at 1"
    return f"{series}-{count:0{_DIGITS}}"


def parsed_number(text: str) -> tuple[str, int] | None:
    """The series and the count of a number, as somebody typed it: `t 123` is `T-000123`. None if it is no number."""
    found = _TYPED.fullmatch(text.strip())
    return None if found is None else (found[1].upper(), int(found[2]))
