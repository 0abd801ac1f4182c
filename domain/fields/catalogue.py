"""Fields of products, variants and categories."""

import re
from typing import Final

from domain.fields.characters import check_unicode, lines, one_line, shows_something, stripped
from domain.fields.core import BadValue, Text, Whole, Word
from domain.fields.damage import whole_code
from domain.limits import (
    ATTRIBUTE_MAX_CHARS,
    BARCODE_MAX_CHARS,
    CATEGORY_MAX_POSITION,
    DESCRIPTION_MAX_CHARS,
    LINE_MAX_QUANTITY,
    NAME_MAX_CHARS,
    NAME_MIN_CHARS,
    PRICE_MAX_MINOR,
    SEARCH_MAX_CHARS,
    SKU_MAX_CHARS,
    SKU_PATTERN,
    SLUG_MAX_CHARS,
    SLUG_PATTERN,
    WEIGHT_MAX_GRAMS,
    WORD_MAX_CHARS,
)
from domain.money import CURRENCIES

_SKU = re.compile(SKU_PATTERN)
_SLUG = re.compile(SLUG_PATTERN)
_WORD = re.compile(r"[!-~]+")


def _upper(text: str) -> str:
    if _SKU.fullmatch(text) is not None:  # as nearly all are
        return text
    check_unicode(text)
    text = stripped(text)
    # Only if ASCII: the upper case of some other letters is ASCII.
    text = text.upper() if text.isascii() else text
    return text if _SKU.fullmatch(text) is not None else whole_code(text)


def _code(text: str) -> str:
    check_unicode(text)
    return stripped(text)


SKU: Final = Text(
    "A SKU",
    most=SKU_MAX_CHARS,
    spelling=_upper,
    fits=lambda text: _SKU.fullmatch(text) is not None,
    code="not_sku",
    demand="This is not a SKU: letters, digits, `.`, `_` and `-`, beginning with a letter or digit.",
    examples=["MUG-BLUE"],
)
"""In upper case: codes that differ only in case mean the same item, as 85123A and 85123a do in the real data."""


def canonical_sku(text: str) -> str | None:
    """The normalized SKU, or None if the text is not one."""
    try:
        return SKU.parse(text)
    except BadValue:
        return None


SLUG: Final = Text(
    "A slug",
    most=SLUG_MAX_CHARS,
    spelling=_code,
    fits=lambda text: _SLUG.fullmatch(text) is not None,
    code="not_slug",
    demand="This is not a slug: lower-case letters and digits, with single hyphens between them.",
    pattern=SLUG_PATTERN.replace("^", r"^\s*").replace("$", r"\s*$"),
    examples=["enamel-mug"],
)
"""The part of a URL that names a product or a category."""

_NOTHING_SHOWN: Final = "This has no visible characters."

NAME: Final = Text(
    "A name",
    least=NAME_MIN_CHARS,
    most=NAME_MAX_CHARS,
    spelling=one_line,
    fits=shows_something,
    code="nothing_shown",
    demand=_NOTHING_SHOWN,
)
"""Of a product or a category."""
TITLE: Final = Text("A title", least=0, most=NAME_MAX_CHARS, spelling=one_line)
"""Of a variant; it may be empty."""
DESCRIPTION: Final = Text("A description", least=0, most=DESCRIPTION_MAX_CHARS, spelling=lines)
ATTRIBUTE: Final = Text("An attribute", least=0, most=ATTRIBUTE_MAX_CHARS, spelling=lines)
"""The name of an attribute, or its value."""


BARCODE: Final = Text("A barcode", most=BARCODE_MAX_CHARS, spelling=lambda text: whole_code(one_line(text)))
"""A GTIN or any other code. One that a spreadsheet has rounded is rejected, as the lost digits cannot be recovered."""

CURRENCY: Final = Word(
    sorted(CURRENCIES),
    spelling=stripped,
    said=("unknown_currency", "This is not an ISO 4217 currency code such as `GBP`."),
)
STATUS: Final = Word(("draft", "active", "archived"), spelling=stripped)
"""Of a product."""
KIND: Final = Word(("goods", "digital", "gift_card"), spelling=stripped)
"""Of a variant: goods need delivery, digital goods do not, and gift cards are a form of money."""
TAX_CLASS: Final = Text(
    "A tax class",
    most=WORD_MAX_CHARS,
    spelling=_code,
    fits=lambda text: _WORD.fullmatch(text) is not None,
    code="not_word",
    demand="This is not a tax class: visible ASCII characters, without spaces.",
    examples=["standard"],
)
PRICE: Final = Whole(0, PRICE_MAX_MINOR)
"""In minor units of its currency, per piece."""
WEIGHT: Final = Whole(0, WEIGHT_MAX_GRAMS)
POSITION: Final = Whole(-CATEGORY_MAX_POSITION, CATEGORY_MAX_POSITION)
QUANTITY: Final = Whole(1, LINE_MAX_QUANTITY)
"""Pieces in one line of an order."""
SEARCHED: Final = Text("A search", least=0, most=SEARCH_MAX_CHARS, spelling=one_line)
