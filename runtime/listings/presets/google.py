"""A product feed of Google Merchant Center: one item per row, as tab-separated text. Items with the same
`item_group_id` are variants of one product, which the first of them describes.

https://support.google.com/merchants/answer/7052112
"""

import re
from typing import Final

from runtime.listings.presets.base import (
    ATTRIBUTE,
    PRODUCT_FIELDS,
    Cells,
    Group,
    Preset,
    Said,
    Seen,
    alone,
    drop,
    set_options,
    set_path,
    slug_of,
)

_OPTIONS: Final = ("color", "size", "material", "pattern")


def _either(name: str) -> tuple[str, str]:
    """Column names may have spaces instead of underscores."""
    return name, name.replace("_", " ")


def _group_of(cells: Cells) -> str:
    return cells.get("item_group_id") or cells.get("item group id", "")


def _survey(cells: Cells, seen: Seen) -> None:
    if group := _group_of(cells):
        seen.put(group, Group(slug_of(group), first=cells.get("id", "")))


def _read(cells: Cells, said: Said, seen: Seen) -> None:
    options = [(name, cells.get(name, "")) for name in _OPTIONS]
    group = seen.groups.get(_group_of(cells))
    said["slug"] = group.slug if group else slug_of(cells.get("id", ""))
    set_path(said, alone, ">")
    said["status"] = "active"
    if group is None:
        said.update({ATTRIBUTE + name: value for name, value in options if value})
        return
    set_options(said, options)
    if group.first != cells.get("id"):
        drop(said, PRODUCT_FIELDS)


PRESET: Final = Preset(
    title="Google Merchant Center",
    required=(("id",), ("title",), ("price",)),
    columns={
        "name": ("title",),
        "description": ("description",),
        "category_path": _either("product_type"),
        "sku": ("id",),
        "price": ("price",),
        "sale_price": _either("sale_price"),
        "weight": (*_either("product_weight"), *_either("shipping_weight")),
        "barcode": ("gtin",),
        "on_hand": ("quantity", *_either("sell_on_google_quantity")),
    },
    reads=re.compile(r"item[_ ]group[_ ]id|color|size|material|pattern"),
    read=_read,
    survey=_survey,
)
