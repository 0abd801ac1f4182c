"""Reads one record of a listing: what the row says, each value checked by itself.

A column that the file does not have says nothing, and neither does an empty cell (in JSON, a null) where there must be
a value (name, price, currency, ...): what is there stays. Elsewhere an empty cell empties. Whether the row makes sense
in the shop as it stands is not asked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from domain.catalogue import PRODUCT_STATUSES
from domain.damage import DAMAGED, is_damaged_code
from domain.limits import (
    ATTRIBUTE_MAX_CHARS,
    BARCODE_MAX_CHARS,
    DESCRIPTION_MAX_CHARS,
    NAME_MAX_CHARS,
    NAME_MIN_CHARS,
    PRICE_MAX_MINOR,
    STOCK_MAX_ON_HAND,
    VARIANT_MAX_ATTRIBUTES,
    WEIGHT_MAX_GRAMS,
    canonical_sku,
    is_slug,
    is_text,
)
from domain.money import CURRENCIES
from runtime.csvcells import unescape_cell

_Text: TypeAlias = str | UnsetType | None
_Number: TypeAlias = int | UnsetType | None


class BadRow(Exception):
    """A row that cannot be applied: a stable code, a sentence, and the column that is to blame, if one is."""

    def __init__(self, code: str, detail: str, column: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.column = column


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a row says; the columns are those of `columns.COLUMNS`. None is an empty cell, and UNSET no cell at all,
    where that is a difference: what may be empty can be emptied, everything else stays."""

    slug: str | None = None
    name: str | None = None
    description: _Text = UNSET
    category: _Text = UNSET
    status: str | None = None
    sku: str | None = None
    title: _Text = UNSET
    price_minor: int | None = None
    currency: str | None = None
    compare_at_minor: _Number = UNSET
    weight_grams: _Number = UNSET
    barcode: _Text = UNSET
    attributes: dict[str, str] | UnsetType | None = UNSET
    active: bool | None = None
    on_hand: int | None = None

    @property
    def speaks_of_product(self) -> bool:
        """Whether it says what the product is like, and not only which it is."""
        return bool(self.name or self.description or self.category or self.status)

    @property
    def speaks_of_variant(self) -> bool:
        """Whether it says what the variant is like, and not only which it is."""
        numbers = (self.price_minor, self.compare_at_minor, self.weight_grams, self.active)
        return bool(self.title or self.currency or self.barcode or self.attributes) or any(
            type(number) in (int, bool) for number in numbers
        )


def read_cells(columns: Sequence[str], cells: Sequence[str]) -> Row:
    """The row in the cells of a CSV record. Raises BadRow."""
    cells = fitting(columns, cells)
    said: dict[str, Any] = {}
    for column, cell in zip(columns, cells, strict=True):
        if not column:
            if cell.strip():
                raise BadRow("wrong_cell_count", f"{_shown(cell)} stands under a column that has no name.")
        elif not cell:
            said[column] = None
        elif convert := _FROM_TEXT.get(column):
            said[column] = convert(column, cell.strip())
        else:
            said[column] = text_of(cell)
    return _checked(Row(**said))


def fitting(columns: Sequence[str], cells: Sequence[str]) -> Sequence[str]:
    """As many cells as there are columns: spreadsheets leave empty ones behind the last. Raises BadRow."""
    if len(cells) == len(columns):
        return cells
    if len(cells) < len(columns) or any(map(str.strip, cells[len(columns) :])):
        raise BadRow("wrong_cell_count", f"The row has {len(cells)} cells, and the file has {len(columns)} columns.")
    return cells[: len(columns)]


def text_of(cell: str) -> str:
    """What a cell says. `="0123"` is how people have a spreadsheet keep a code as it is."""
    forced = _FORCED_TEXT.fullmatch(cell)
    return forced[1] if forced else unescape_cell(cell)


def read_json(line: bytes) -> Row:
    """The row in a line of JSON. Raises BadRow."""
    try:
        return _checked(_json.decode(line))
    except msgspec.ValidationError as error:
        found = _PLACE.search(str(error))
        raise BadRow("invalid_value", f"{error}.", found[1] if found else None) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadRow("malformed_json", f"{error}.") from None


_json: Final = msgspec.json.Decoder(Row)

# Where msgspec says that a value does not fit.
_PLACE = re.compile(r" - at `\$\.([a-z_]+)")
_FORCED_TEXT = re.compile(r'="([^"]*)"')
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def _integer(column: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise BadRow("invalid_value", f"{_shown(text)} is no whole number.", column)
    return int(text)


def _boolean(column: str, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise BadRow("invalid_value", f"{_shown(text)} is neither true nor false.", column)
    return value


def _attributes(column: str, text: str) -> dict[str, str]:
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadRow("invalid_value", f"This is no JSON object of texts: {error}.", column) from None


_FROM_TEXT: Final[dict[str, Callable[[str, str], Any]]] = {
    "price_minor": _integer,
    "compare_at_minor": _integer,
    "weight_grams": _integer,
    "on_hand": _integer,
    "active": _boolean,
    "attributes": _attributes,
}


def _checked(row: Row) -> Row:
    """The row with its SKU in its one spelling. Raises BadRow for a value that no product or variant can have."""
    if not row.slug and not row.sku:
        raise BadRow("nothing_named", "The row names neither a product (slug) nor a variant (sku).")
    for column in _CODES:
        code = getattr(row, column)
        if code and is_damaged_code(code):
            raise BadRow("damaged_value", f"{_shown(code)}: {DAMAGED}.", column)
    for column, fits, demand in _TEXTS:
        text = getattr(row, column)
        if text and not (fits(text) and is_text(text)):
            raise BadRow("invalid_value", f"{_shown(text)} is not {demand}.", column)
    for column, most in _NUMBERS:
        number = getattr(row, column)
        if type(number) is int and not 0 <= number <= most:
            raise BadRow("invalid_value", f"{number} is not within 0 and {most}.", column)
    if row.attributes:
        _check_attributes(row.attributes)
    if not row.sku:
        if row.speaks_of_variant or row.on_hand is not None:
            raise BadRow("nothing_named", "The row says something of a variant, and not which (sku).", "sku")
        return row
    sku = canonical_sku(row.sku)
    if sku is None:
        raise BadRow("invalid_value", f"{_shown(row.sku)} is no SKU: letters, digits, `.`, `_`, `-`.", "sku")
    return row if sku == row.sku else msgspec.structs.replace(row, sku=sku)


def _chars(least: int, most: int) -> tuple[Callable[[str], bool], str]:
    return lambda text: least <= len(text) <= most, f"text of {least} to {most} characters"


# Which texts fit, and what is said of one that does not.
_TEXTS: Final[tuple[tuple[str, Callable[[str], bool], str], ...]] = (
    ("slug", is_slug, "lower case letters and digits with single hyphens between them"),
    ("name", *_chars(NAME_MIN_CHARS, NAME_MAX_CHARS)),
    ("description", *_chars(0, DESCRIPTION_MAX_CHARS)),
    ("category", is_slug, "a category's slug"),
    ("status", PRODUCT_STATUSES.__contains__, f"one of {', '.join(PRODUCT_STATUSES)}"),
    ("title", *_chars(0, NAME_MAX_CHARS)),
    ("currency", CURRENCIES.__contains__, "a currency of ISO 4217"),
    ("barcode", *_chars(1, BARCODE_MAX_CHARS)),
)
# What a spreadsheet takes for a number.
_CODES: Final = ("sku", "barcode")
_NUMBERS: Final = (
    ("price_minor", PRICE_MAX_MINOR),
    ("compare_at_minor", PRICE_MAX_MINOR),
    ("weight_grams", WEIGHT_MAX_GRAMS),
    ("on_hand", STOCK_MAX_ON_HAND),
)


def _check_attributes(attributes: dict[str, str]) -> None:
    if len(attributes) > VARIANT_MAX_ATTRIBUTES:
        raise BadRow("invalid_value", f"A variant has at most {VARIANT_MAX_ATTRIBUTES} attributes.", "attributes")
    for text in (*attributes, *attributes.values()):
        if len(text) > ATTRIBUTE_MAX_CHARS or not is_text(text):
            raise BadRow(
                "invalid_value", f"{_shown(text)} is not text of 0 to {ATTRIBUTE_MAX_CHARS} characters.", "attributes"
            )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
