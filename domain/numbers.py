"""Human-readable numbers of orders, invoices and credit notes. Each series is counted separately, without gaps: a
number is taken only when the log is written, so a rejected order does not waste one.
"""

import re
from typing import Final

ORDERS: Final = "T"
INVOICES: Final = "INV"
CREDIT_NOTES: Final = "CN"
SERIES: Final = (ORDERS, INVOICES, CREDIT_NOTES)
"""All series, in the order of their columns in the event counter."""

NUMBER_MAX_CHARS: Final = 40
"""The longest number that somebody may type."""

_DIGITS: Final = 6
_TYPED: Final = re.compile(rf"({'|'.join(SERIES)})[ -]?0*([1-9][0-9]{{0,17}})", re.IGNORECASE)


def numbered(series: str, count: int) -> str:
    """The number with this count (from 1) in its written form: `T-000123`. Larger counts have more digits."""
    assert series in SERIES, f"{series!r} is not a series"
    assert count >= 1, "a series begins at 1"
    return f"{series}-{count:0{_DIGITS}}"


def parsed_number(text: str) -> tuple[str, int] | None:
    """The series and the count of a number as somebody typed it: `t 123` is `T-000123`. None if the text is not one."""
    found = _TYPED.fullmatch(text.strip())
    return None if found is None else (found[1].upper(), int(found[2]))
