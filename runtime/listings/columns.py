"""The columns of a listing, the formats it comes in, and how long a row may be."""

from __future__ import annotations

import csv
from typing import Final

COLUMNS: Final = (
    "slug",
    "name",
    "description",
    "category",
    "status",
    "sku",
    "title",
    "price_minor",
    "currency",
    "compare_at_minor",
    "weight_grams",
    "barcode",
    "attributes",
    "active",
    "on_hand",
)
"""What an export writes, in this order. An import may leave columns out, and have them in any order."""

CSV: Final = "csv"
JSON_LINES: Final = "jsonl"
FORMATS: Final = {
    "text/csv": CSV,
    "application/x-ndjson": JSON_LINES,
    "application/ndjson": JSON_LINES,
    "application/jsonl": JSON_LINES,
}
"""The format of a Content-Type."""

ROW_MAX_BYTES: Final = 262_144
"""One row, with its quotes. The longest description, in four-byte characters and with room for the rest, fits."""

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class BadHeader(Exception):
    """The first line of a CSV file does not say which columns follow."""


def read_header(line: bytes) -> tuple[str, ...]:
    """The columns that the first line of a CSV file names. Raises BadHeader."""
    try:
        cells = next(csv.reader([line.removeprefix(BYTE_ORDER_MARK).decode()], strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadHeader(f"The first line cannot be read: {error}.") from None
    names = tuple(cell.strip().lower() for cell in cells)
    if unknown := [name[:40] for name in names if name not in COLUMNS]:
        raise BadHeader(f"The first line names no columns of ours: {', '.join(map(repr, unknown[:5]))}.")
    if twice := {name for name in names if names.count(name) > 1}:
        raise BadHeader(f"The first line names a column twice: {', '.join(sorted(twice))}.")
    if not {"slug", "sku"} & set(names):
        raise BadHeader("The first line names neither `slug` nor `sku`: what is each row about?")
    return names
