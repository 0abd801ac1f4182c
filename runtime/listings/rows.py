"""Parses one record of a listing into a row, checking each value by itself.

A column that the file does not have changes nothing, and neither does an empty cell (in JSON, a null) where a value is
required (name, price, currency, ...). Elsewhere an empty cell clears the field. `domain/fields` defines what a value
may be, as for all input. Whether the row makes sense in the shop's current state is not checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from domain.fields import catalogue as fields
from domain.fields import stock
from domain.fields.characters import stripped
from domain.fields.core import NOT_BOOLEAN, NOT_OBJECT, NOT_TEXT, BadValue, too_many
from domain.fields.damage import DAMAGED, whole_code
from domain.limits import CATEGORY_MAX_DEPTH, VARIANT_MAX_ATTRIBUTES
from runtime.csvcells import unescape_cell

_Text: TypeAlias = str | UnsetType | None
_Number: TypeAlias = int | UnsetType | None


class BadRow(Exception):
    """A row that cannot be applied: a stable code, a sentence, and the column at fault, if there is one."""

    def __init__(self, code: str, detail: str, column: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.column = column


class Row(msgspec.Struct, frozen=True):
    """What a row says: the columns of `columns.COLUMNS`, and in `category_path` the names of the categories from the
    top. With a `price_list`, its price is on that list, and it says nothing else. None stands for an empty cell. For
    fields that may be cleared, UNSET stands for no cell at all."""

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
    category_path: tuple[str, ...] | UnsetType | None = UNSET
    price_list: UUID | None = None
    min_quantity: int | None = None

    @property
    def speaks_of_product(self) -> bool:
        """Whether it describes the product, rather than only naming it."""
        return bool(self.name or self.description or self.category or self.category_path or self.status)

    @property
    def speaks_of_variant(self) -> bool:
        """Whether it describes the variant, rather than only naming it."""
        numbers = (self.price_minor, self.compare_at_minor, self.weight_grams, self.active)
        return bool(self.title or self.currency or self.barcode or self.attributes) or any(
            type(number) in (int, bool) for number in numbers
        )


def read_cells(columns: Sequence[str], cells: Sequence[str]) -> Row:
    """The row in the cells of a CSV record. Raises BadRow."""
    said: dict[str, Any] = {}
    for column, cell in zip(columns, fitting(columns, cells), strict=True):
        if column:
            said[column] = of_cell(column, cell)
        elif stripped(cell):
            raise BadRow("wrong_cell_count", f"{_shown(cell)} is in a column that has no name.")
    return row_of(said)


def fitting(columns: Sequence[str], cells: Sequence[str]) -> Sequence[str]:
    """As many cells as there are columns; spreadsheets add empty ones at the end. Raises BadRow."""
    if len(cells) == len(columns):
        return cells
    if len(cells) < len(columns) or any(map(str.strip, cells[len(columns) :])):
        raise BadRow("wrong_cell_count", f"The row has {len(cells)} cells, but the file has {len(columns)} columns.")
    return cells[: len(columns)]


def text_of(cell: str) -> str:
    """The text of a cell. People write `="0123"` so that a spreadsheet keeps a code as it is."""
    forced = _FORCED_TEXT.fullmatch(cell)
    return forced[1] if forced else unescape_cell(cell)


def read_json(line: bytes) -> Row:
    """The row in a line of JSON. Raises BadRow."""
    try:
        said = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        surrogate = ": an escape is half of a surrogate pair" if "surrogate" in str(error) else ""
        raise BadRow("malformed_json", f"The line is not valid JSON{surrogate}.") from None
    if not isinstance(said, dict):
        raise BadRow("invalid_value", NOT_OBJECT[1])
    for name in said:
        if name not in _READ:
            raise BadRow("invalid_value", f"There is no column {name[:40]!r}. The columns are {', '.join(_READ)}.")
    return row_of(said)


_FORCED_TEXT = re.compile(r'="([^"]*)"')
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def of_cell(column: str, cell: str) -> object:
    """The value in a cell of a spreadsheet, as JSON would have it; text that is not such a value is left for `row_of`
    to reject."""
    if not cell:
        return None
    if column in _NUMBERS:
        number = stripped(cell)
        return int(number) if _INTEGER.fullmatch(number) else number or None
    if column == "active":
        return _BOOLEANS.get(stripped(cell).lower(), stripped(cell) or None)
    if column == "attributes" and stripped(cell):
        try:
            return msgspec.json.decode(cell)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadRow("invalid_value", "This is not a JSON object of strings.", column) from None
    return text_of(cell)


def row_of(said: dict[str, Any]) -> Row:
    """The row with these values, each normalized. Raises BadRow."""
    values: dict[str, Any] = {}
    for column, given in said.items():
        if given is None or (isinstance(given, str) and not stripped(given)):
            values[column] = None
            continue
        try:
            values[column] = _READ[column](given)
        except BadValue as bad:
            code = bad.code if bad.code == DAMAGED[0] else "invalid_value"
            raise BadRow(code, bad.detail, column) from None
    row = Row(**values)
    if not row.slug and not row.sku:
        raise BadRow("nothing_named", "The row names neither a product (slug) nor a variant (sku).")
    if not row.sku and (row.speaks_of_variant or row.on_hand is not None):
        raise BadRow("nothing_named", "The row describes a variant but does not name it (sku).", "sku")
    if row.price_list is not None or row.min_quantity is not None:
        _check_listed(row)
    return row


def _check_listed(row: Row) -> None:
    """Raises BadRow for a row about a price list that lacks something, or says more."""
    for column in ("price_list", "sku", "price_minor", "currency"):
        if getattr(row, column) is None:
            raise BadRow("value_missing", "A price on a price list needs a SKU, an amount and its currency.", column)
    of_variant = msgspec.structs.replace(row, price_minor=None, currency=None)
    if row.speaks_of_product or of_variant.speaks_of_variant or row.on_hand is not None:
        raise BadRow("invalid_value", "A row about a price on a price list must not say anything else.", "price_list")


def _uuid(given: object) -> UUID:
    if not isinstance(given, str):
        raise BadValue(*NOT_TEXT)
    try:
        return UUID(stripped(given))
    except ValueError:
        raise BadValue("not_id", "This is not the id of a price list.") from None


def _boolean(given: object) -> bool:
    if not isinstance(given, bool):
        raise BadValue(*NOT_BOOLEAN)
    return given


def _attributes(given: object) -> dict[str, str]:
    if not isinstance(given, dict):
        raise BadValue(*NOT_OBJECT)
    if len(given) > VARIANT_MAX_ATTRIBUTES:
        raise BadValue(*too_many(VARIANT_MAX_ATTRIBUTES))
    return {fields.ATTRIBUTE.parse(name): fields.ATTRIBUTE.parse(value) for name, value in given.items()}


def _path(given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple):
        raise BadValue("not_list", "This is not a list of category names.")
    if len(given) > CATEGORY_MAX_DEPTH:
        raise BadValue(*too_many(CATEGORY_MAX_DEPTH))
    return tuple(map(fields.NAME.parse, given))


_NUMBERS: Final = frozenset({"price_minor", "compare_at_minor", "weight_grams", "on_hand", "min_quantity"})
_READ: Final[dict[str, Callable[[object], Any]]] = {
    "slug": fields.SLUG.parse,
    "name": fields.NAME.parse,
    "description": fields.DESCRIPTION.parse,
    "category": fields.SLUG.parse,
    "status": fields.STATUS.parse,
    "sku": lambda given: fields.SKU.parse(
        whole_code(given)
    ),  # only imports reject it: existing SKUs may look like this
    "title": fields.TITLE.parse,
    "price_minor": fields.PRICE.parse,
    "currency": fields.CURRENCY.parse,
    "compare_at_minor": fields.PRICE.parse,
    "weight_grams": fields.WEIGHT.parse,
    "barcode": fields.BARCODE.parse,
    "attributes": _attributes,
    "active": _boolean,
    "on_hand": stock.ON_HAND.parse,
    "category_path": _path,
    "price_list": _uuid,
    "min_quantity": fields.QUANTITY.parse,
}
"""What each column may hold, whether the file, a mapping or a preset fills it."""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
