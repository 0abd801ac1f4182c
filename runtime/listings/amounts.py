"""Numbers as people and other shops write them: amounts of money, weights, counts. Nothing is guessed.

The decimal separator is given with the file, or known from the documentation of the system that wrote it. Without one,
only whole numbers are read. A number written otherwise is rejected with the reason, so that `1.299,00` is read as 1299
or not at all, and never as 1.
"""

from __future__ import annotations

import re
import unicodedata
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, Literal, NamedTuple

from domain.money import CURRENCIES, minor_digits

Separator = Literal["point", "comma"]

GRAMS_OF_UNIT: Final = {
    "g": Decimal(1),
    "kg": Decimal(1000),
    "oz": Decimal("28.349523125"),
    "lb": Decimal("453.59237"),
}
_UNIT_SPELLINGS: Final = {
    "lbs": "lb",
    "pound": "lb",
    "pounds": "lb",
    "grams": "g",
    "gram": "g",
    "kgs": "kg",
    "ounces": "oz",
}

_WHOLE: Final = re.compile(r"[0-9]{1,15}")
_GROUP: Final = "[ \u00a0\u202f'\u2019]"
# By decimal separator: digits with a fraction; and, if the separator was given with the file, with grouped thousands.
_PLAIN: Final = {
    "point": re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?|\.[0-9]{1,12}"),
    "comma": re.compile(r"[0-9]{1,15}(?:,[0-9]{1,12})?|,[0-9]{1,12}"),
}
_GROUPED: Final = {
    "point": re.compile(rf"[0-9]{{1,3}}(?:(?:,|{_GROUP})[0-9]{{3}}){{1,4}}(?:\.[0-9]{{1,12}})?"),
    "comma": re.compile(rf"[0-9]{{1,3}}(?:(?:\.|{_GROUP})[0-9]{{3}}){{1,4}}(?:,[0-9]{{1,12}})?"),
}

# Signs that mean one currency, or one of a few. With any other sign, such as `$`, the currency must be named.
_OF_SIGN: Final = {
    "\u20ac": ("EUR",),
    "\u00a3": ("GBP", "EGP", "FKP", "GIP", "SHP", "SSP", "SYP", "LBP"),
    "\u00a5": ("JPY", "CNY"),
    "\u20b9": ("INR",),
    "\u20a9": ("KRW", "KPW"),
    "\u20bd": ("RUB",),
    "\u20b4": ("UAH",),
    "\u20aa": ("ILS",),
    "\u20ba": ("TRY",),
    "\u20ab": ("VND",),
    "\u0e3f": ("THB",),
}

CELL_MAX_CHARS: Final = 100
"""The longest cell that is read as a number."""


class BadNumber(ValueError):
    """What is wrong with a number, as a sentence."""


class Notation(NamedTuple):
    """How a file writes numbers: the decimal `separator`, and whether it was `said` with the file rather than known
    from its system; only then may thousands be grouped."""

    separator: Separator | None
    said: bool


def decimal_of(text: str, notation: Notation) -> Decimal:
    """The number, which is never negative. Raises BadNumber."""
    text = text.strip()
    if len(text) > CELL_MAX_CHARS:
        raise BadNumber("The cell is too long for a number.")
    if _WHOLE.fullmatch(text):
        return Decimal(text)
    separator = notation.separator
    if separator is None:
        if any(pattern.fullmatch(text) for pattern in (*_PLAIN.values(), *_GROUPED.values())):
            raise BadNumber(f"{text!r} has a separator: say whether decimals use a point or a comma (`decimal`).")
        raise BadNumber(f"{text!r} is not a number.")
    if _PLAIN[separator].fullmatch(text):
        return Decimal(text.replace(",", "."))
    if _GROUPED[separator].fullmatch(text):
        if not notation.said:
            raise BadNumber(f"{text!r} has grouped thousands: give the decimal separator (`decimal`: point or comma).")
        fraction = "." if separator == "point" else ","
        whole, _, part = text.partition(fraction)
        return Decimal(re.sub("[^0-9]", "", whole) + (f".{part}" if part else ""))
    raise BadNumber(f"{text!r} is not a number with a decimal {separator}.")


def amount_of(text: str, currency: str | None, notation: Notation) -> tuple[int, str]:
    """An amount in minor units and its currency, which the text may name (`45.00 AED`) and otherwise is `currency`.
    Raises BadNumber."""
    if len(text) > CELL_MAX_CHARS:
        raise BadNumber("The cell is too long for an amount.")
    number, currency = _apart(text, currency)
    if currency is None:
        raise BadNumber(f"{text.strip()!r} has no currency, and the import does not name one (`currency`).")
    minor = decimal_of(number, notation).scaleb(minor_digits(currency))
    if minor != minor.to_integral_value():
        raise BadNumber(f"{text.strip()!r} has more decimal places than {currency} allows.")
    return int(minor), currency


def _apart(text: str, currency: str | None) -> tuple[str, str | None]:
    """The number in the text of an amount, and the currency."""
    text = text.strip()
    for named, number in ((text[:3], text[3:]), (text[-3:], text[:-3])):
        if named in CURRENCIES:
            return number.strip(), named
    for sign, number in ((text[:1], text[1:]), (text[-1:], text[:-1])):
        if sign and unicodedata.category(sign) == "Sc":
            meant = _OF_SIGN.get(sign)
            if currency is None and meant is not None and len(meant) == 1:
                return number.strip(), meant[0]
            if currency is not None and meant is not None and currency not in meant:
                raise BadNumber(f"{text!r} is not an amount in {currency}.")
            return number.strip(), currency
    return text, currency


def grams_of(text: str, unit: str | None, notation: Notation) -> int:
    """A weight in grams, rounded; the text may name its unit (`1.2 kg`), which otherwise is `unit`. Raises
    BadNumber."""
    text = text.strip()
    if len(text) > CELL_MAX_CHARS:
        raise BadNumber("The cell is too long for a weight.")
    number = text.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    named = text[len(number) :].lower()
    if named:
        unit = _UNIT_SPELLINGS.get(named, named)
    grams = decimal_of(number, notation)
    if unit is None and grams:
        raise BadNumber(f"{text!r} has no unit, and the import does not name one (`weight_unit`).")
    factor = GRAMS_OF_UNIT.get(unit or "g")
    if factor is None:
        raise BadNumber(f"{named!r} is not a known unit of weight; use one of {', '.join(GRAMS_OF_UNIT)}.")
    return int((grams * factor).to_integral_value(ROUND_HALF_UP))


def count_of(text: str) -> int:
    """A whole number of pieces, also when written as `100.0000`. Raises BadNumber."""
    whole, _, part = text.strip().partition(".")
    if not _WHOLE.fullmatch(whole) or part.strip("0"):
        raise BadNumber(f"{text.strip()[:CELL_MAX_CHARS]!r} is not a whole number of pieces.")
    return int(whole)
