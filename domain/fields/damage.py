"""Codes that a spreadsheet has damaged. It reads a barcode as a number and saves it rounded (`5.01235E+12`) or
reformatted (`5012345678900.0`). The original cannot be recovered, so the code is rejected."""

import re
from typing import Final, TypeVar

from domain.fields.characters import stripped
from domain.fields.core import BadValue

_T = TypeVar("_T")

# Powers of ten with a sign or a fraction, as spreadsheets write them, and long whole numbers with an empty fraction.
# `LOT-7E12`, `7E12` and `12.5` are codes that people make.
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+[.,][0-9]+[eE][+-]?[0-9]+|[0-9]+[eE][+-][0-9]+|[0-9]{6,}[.,]0+)")

DAMAGED: Final = (
    "damaged_value",
    "A spreadsheet has rounded or reformatted this code, and the original cannot be recovered.",
)


def whole_code(given: _T) -> _T:
    """The code, unless it has become a number with a fraction or a power of ten. Raises BadValue."""
    if isinstance(given, str) and _NUMBER.fullmatch(stripped(given)) is not None:
        raise BadValue(*DAMAGED)
    return given
