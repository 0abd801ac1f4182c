"""The columns of a listing, its formats, and how long a row may be."""

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
"""What an export writes, in this order. An import may leave columns out and have them in any order."""

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
"""One row, with its quotes: room for the longest description in four-byte characters, and for the rest."""

HEADER_MAX_BYTES: Final = 65_536
"""The header line."""

HEADER_MAX_COLUMNS: Final = 1_000
"""The widest shop exports, with up to three columns for each custom attribute, have some hundreds."""

MARK: Final = "\ufeff"
"""The byte order mark, as a character. Some programs write it twice, or after an empty line."""

UTF8_MARK: Final = MARK.encode()
