"""Numbers as people and other shops write them: amounts of money, weights, counts. Nothing is guessed.

Which separator a fraction has is said by whoever sends the file, or by the documentation of the system that wrote it.
Where it is not, only whole numbers can be read; what does not fit what was said is refused by name, so that
`1.299,00` is 1299 or nothing, and never 1.
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
# By separator: digits with a fraction; and, where the separator was given with the file, with groups of thousands.
_PLAIN: Final = {
    "point": re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,12})?|\.[0-9]{1,12}"),
    "comma": re.compile(r"[0-9]{1,15}(?:,[0-9]{1,12})?|,[0-9]{1,12}"),
}
_GROUPED: Final = {
    "point": re.compile(rf"[0-9]{{1,3}}(?:(?:,|{_GROUP})[0-9]{{3}}){{1,4}}(?:\.[0-9]{{1,12}})?"),
    "comma": re.compile(rf"[0-9]{{1,3}}(?:(?:\.|{_GROUP})[0-9]{{3}}){{1,4}}(?:,[0-9]{{1,12}})?"),
}

# Signs that mean one currency, or a few. What is not here says nothing, and needs the currency named.
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
"""No number is longer."""


class BadNumber(ValueError):
    """What is wrong with a number, as a sentence."""


class Notation(NamedTuple):
    """How a file writes numbers: the `separator` of fractions, and whether that was `said` with the file (and is not
    only the custom of its system): then thousands may be grouped, too."""

    separator: Separator | None
    said: bool


def decimal_of(text: str, notation: Notation) -> Decimal:
    """The number, not negative. Raises BadNumber."""
    text = text.strip()
    if len(text) > CELL_MAX_CHARS:
        raise BadNumber("The cell is too long for a number.")
    if _WHOLE.fullmatch(text):
        return Decimal(text)
    separator = notation.separator
    if separator is None:
        if any(pattern.fullmatch(text) for pattern in (*_PLAIN.values(), *_GROUPED.values())):
            raise BadNumber(
                f"{text!r} has a fraction or groups: say which separator it has (`decimal`: point or comma)."
            )
        raise BadNumber(f"{text!r} is no number.")
    if _PLAIN[separator].fullmatch(text):
        return Decimal(text.replace(",", "."))
    if _GROUPED[separator].fullmatch(text):
        if not notation.said:
            raise BadNumber(f"{text!r} has groups: say which separator fractions have (`decimal`: point or comma).")
        fraction = "." if separator == "point" else ","
        whole, _, part = text.partition(fraction)
        return Decimal(re.sub("[^0-9]", "", whole) + (f".{part}" if part else ""))
    raise BadNumber(f"{text!r} is no number whose fraction is written with a {separator}.")


def amount_of(text: str, currency: str | None, notation: Notation) -> tuple[int, str]:
    """An amount in minor units and its currency, which the text may name (`45.00 AED`); `currency` is what it is in if
    the text does not. Raises BadNumber."""
    if len(text) > CELL_MAX_CHARS:
        raise BadNumber("The cell is too long for an amount.")
    number, currency = _apart(text, currency)
    if currency is None:
        raise BadNumber(f"{text.strip()!r} does not say its currency, and neither does the import (`currency`).")
    minor = decimal_of(number, notation).scaleb(minor_digits(currency))
    if minor != minor.to_integral_value():
        raise BadNumber(f"{text.strip()!r} has more decimal places than {currency} has.")
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
                raise BadNumber(f"{text!r} is no amount of {currency}.")
            return number.strip(), currency
    return text, currency


def grams_of(text: str, unit: str | None, notation: Notation) -> int:
    """A weight in grams, rounded; the text may name its unit (`1.2 kg`), `unit` is what it is in if it does not. Raises
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
        raise BadNumber(f"{text!r} does not say its unit, and neither does the import (`weight_unit`).")
    factor = GRAMS_OF_UNIT.get(unit or "g")
    if factor is None:
        raise BadNumber(f"{named!r} is no unit of weight: {', '.join(GRAMS_OF_UNIT)}.")
    return int((grams * factor).to_integral_value(ROUND_HALF_UP))


def count_of(text: str) -> int:
    """A number of pieces; a fraction of nothing (`100.0000`) is none. Raises BadNumber."""
    whole, _, part = text.strip().partition(".")
    if not _WHOLE.fullmatch(whole) or part.strip("0"):
        raise BadNumber(f"{text.strip()[:CELL_MAX_CHARS]!r} is no number of pieces.")
    return int(whole)
