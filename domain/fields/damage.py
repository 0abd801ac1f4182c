"""Codes as spreadsheets leave them. A barcode that looks like a number is opened as one, and saved rounded
(`5.01235E+12`) or reformatted (`5012345678900.0`): what it was cannot be told any more, so it is refused."""

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
    "This is no code: a spreadsheet has rounded or reformatted the code, and what it was cannot be told any more.",
)


def whole_code(given: _T) -> _T:
    """The code, if it was not made a number, with a fraction or a power of ten. Raises BadValue."""
    if isinstance(given, str) and _NUMBER.fullmatch(stripped(given)) is not None:
        raise BadValue(*DAMAGED)
    return given
