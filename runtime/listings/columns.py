"""The columns of a listing, the formats it comes in, and how long a row may be."""

from __future__ import annotations

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
    "text/tab-separated-values": CSV,
    "application/x-ndjson": JSON_LINES,
    "application/ndjson": JSON_LINES,
    "application/jsonl": JSON_LINES,
}
"""The format of a Content-Type."""

ROW_MAX_BYTES: Final = 262_144
"""One row, with its quotes. The longest description, in four-byte characters and with room for the rest, fits."""

HEADER_MAX_BYTES: Final = 65_536
"""The line that names the columns."""

HEADER_MAX_COLUMNS: Final = 1_000
"""The widest shop exports, with a column or three for every custom attribute, have some hundreds."""

MARK: Final = "\ufeff"
"""The byte order mark, as a character. Some programs write it where they please: twice, or behind an empty line."""

UTF8_MARK: Final = MARK.encode()
