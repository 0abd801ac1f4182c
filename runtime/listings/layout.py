"""What a request says about how its file is written: which shop system exported it, which column is which, and the
units of its amounts and weights."""

from __future__ import annotations

from typing import Final

import msgspec

from runtime.listings.amounts import Separator
from runtime.listings.columns import COLUMNS

IGNORE: Final = "ignore"
OPTION: Final = "option:"
"""Prefix of an attribute by which a product's variants differ; its value is also part of the variant's title."""

MORE_FIELDS: Final = (
    *("price", "sale_price", "compare_at", "weight", "category_path", "published"),
    *("price_list", "min_quantity"),
)
"""What a column may hold besides those of an export: amounts with decimals, a weight in some unit, a category's path,
and whether the product is shown; the price list that the row's price is on, and for how many pieces."""

FIELDS: Final = (*COLUMNS, *MORE_FIELDS)


class Layout(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a file is written. `mapping` maps its columns to FIELDS, `option:` with a name, or `ignore`."""

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
