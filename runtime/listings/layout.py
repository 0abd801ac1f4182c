"""What is said with a file about how it is written: which shop system's export it is, which of its columns are which,
and the units of its amounts and weights."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.listings.amounts import Separator
from runtime.listings.columns import COLUMNS

IGNORE: Final = "ignore"
OPTION: Final = "option:"
"""Before the name of an attribute by which a product's variants differ; it is in the variant's title, too."""

MORE_FIELDS: Final = ("price", "sale_price", "compare_at", "weight", "category_path", "published")
"""What a column may say besides our own: amounts with decimals, a weight in some unit, a category by its path, and
whether the product is shown."""

FIELDS: Final = (*COLUMNS, *MORE_FIELDS)


class Layout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a file is written. `mapping` is from its columns to FIELDS, `option:` with a name, or `ignore`."""

    preset: str | None = None
    mapping: dict[str, str] = {}
    separator: str | None = None
    decimal: Separator | None = None
    currency: str | None = None
    weight_unit: str | None = None
    category_separator: str | None = None
    create_categories: bool = False
    derive_skus: bool = False
    sale_prices: bool = False


def is_field(name: str) -> bool:
    """Whether a column may be mapped to this."""
    return name in FIELDS or name == IGNORE or (name.startswith(OPTION) and len(name) > len(OPTION))
