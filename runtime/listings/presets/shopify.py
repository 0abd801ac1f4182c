"""Shopify's product export: a row for each variant and each picture, grouped by handle. Only a product's first row
describes the product. Older and newer exports name their columns differently.

https://help.shopify.com/en/manual/products/import-export/using-csv
"""

import re
from typing import Final

from runtime.listings.presets.base import (
    PRODUCT_FIELDS,
    Aside,
    Cells,
    Group,
    Preset,
    Said,
    Seen,
    alone,
    drop,
    numbered,
    set_options,
    set_path,
    slug_of,
)

_OPTIONS_MAX: Final = 3
_ALONE: Final = ("title", "default title")
"""The option that stands for a product without options."""


def _handle(cells: Cells) -> str:
    return cells.get("handle") or cells.get("url handle", "")


def _survey(cells: Cells, seen: Seen) -> None:
    names = {str(number): cells.get(f"option{number} name", "") for number in range(1, _OPTIONS_MAX + 1)}
    if any(names.values()):
        seen.put(_handle(cells), Group(slug_of(_handle(cells)), options=names))


def _read(cells: Cells, said: Said, seen: Seen) -> None:
    handle = _handle(cells)
    said["slug"] = slug_of(handle)
    if not {"sku", "price", "name"} & {field for field, cell in said.items() if cell} and "option1 value" not in cells:
        raise Aside("Only a picture of the product.")
    if not said.get("name"):
        drop(said, PRODUCT_FIELDS)
    else:
        set_path(said, alone, ">")
        status = said.pop("status", "").lower()
        published = said.pop("published", "").lower() not in ("false", "no", "0")
        said["status"] = (
            status if status == "archived" else "active" if status in ("", "active") and published else "draft"
        )
    for code in {"sku", "barcode"} & said.keys():
        said[code] = said[code].lstrip("'")
    if said.get("weight"):
        said["weight"] += " g"
    if not said.get("compare_at", "").strip("0."):
        said.update({"compare_at": ""} if "compare_at" in said else {})
    if "variant inventory tracker" not in cells and "handle" in cells:  # stock is not tracked
        drop(said, ("on_hand",))
    group = seen.groups.get(handle)
    names = group.options if group else {}
    pairs = numbered(cells, "option{} name", "option{} value", _OPTIONS_MAX)
    options = [(name or names.get(str(number), ""), value) for number, (name, value) in enumerate(pairs, 1)]
    set_options(said, [(name, value) for name, value in options if (name.lower(), value.lower()) != _ALONE])


PRESET: Final = Preset(
    title="Shopify",
    required=(("handle", "url handle"), ("title",), ("variant price", "price")),
    columns={
        "name": ("title",),
        "description": ("body (html)", "description"),
        "category_path": ("product category",),
        "status": ("status",),
        "published": ("published", "published on online store"),
        "sku": ("variant sku", "sku"),
        "price": ("variant price", "price"),
        "compare_at": ("variant compare at price", "compare-at price"),
        "weight": ("variant grams", "weight value (grams)"),
        "barcode": ("variant barcode", "barcode"),
        "on_hand": ("variant inventory qty", "inventory quantity"),
    },
    reads=re.compile(r"handle|url handle|option[123] (?:name|value)|variant inventory tracker"),
    read=_read,
    survey=_survey,
)
