"""WooCommerce's product export: a row for each product and for each variation, which names its parent by SKU or, as
`id:11`, by its number.

https://github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema
"""

import re
from typing import Final

from runtime.listings.presets.base import (
    ATTRIBUTE,
    PRODUCT_FIELDS,
    VARIANT_FIELDS,
    Aside,
    Cells,
    Group,
    Preset,
    Said,
    Seen,
    drop,
    numbered,
    set_options,
    set_path,
    weight_by_header,
)

_ATTRIBUTES_MAX: Final = 30
_COMMA: Final = re.compile(r"(?<!\\),")
_VARIATION: Final = "variation"
_VARIABLE: Final = "variable"
_SIMPLE: Final = "simple"


def _kinds(cells: Cells) -> list[str]:
    """The types of a product, as in `simple, virtual`."""
    return [kind.strip().lower() for kind in cells.get("type", "").split(",")]


def _paths(text: str) -> list[str]:
    """Paths separated by commas; a comma in a name is escaped with a backslash."""
    return [path.replace("\\,", ",") for path in _COMMA.split(text)]


def _key(cells: Cells) -> str:
    return cells.get("sku") or f"id:{cells.get('id', '')}"


def _survey(cells: Cells, seen: Seen) -> None:
    if {_SIMPLE, _VARIABLE} & set(_kinds(cells)):
        key = _key(cells)
        group = Group(seen.slug(key, cells.get("name", "")), weight=weight_by_header(cells) or "")
        seen.put(key, group)
        if _VARIABLE in _kinds(cells):
            seen.put(f"id:{cells.get('id', '')}", group)


def _read(cells: Cells, said: Said, seen: Seen) -> None:
    kinds = _kinds(cells)
    is_variation = _VARIATION in kinds
    if not is_variation and not {_SIMPLE, _VARIABLE} & set(kinds):
        raise Aside(f"A product of type {', '.join(kinds)}.")
    parent = cells.get("parent", "").replace("id: ", "id:") if is_variation else _key(cells)
    group = seen.groups.get(parent)
    if group is None:
        raise Aside(f"A variation of {parent!r}, which is not in the file.")
    said["slug"] = group.slug
    if "description" in said:
        said["description"] = said["description"].replace("\\n", "\n")
    set_path(said, _paths, ">")
    published = said.pop("published", "1") == "1"
    attributes = numbered(cells, "attribute {} name", "attribute {} value(s)", _ATTRIBUTES_MAX)
    weight = weight_by_header(cells) or group.weight
    if weight:
        said["weight"] = weight
    if is_variation:
        drop(said, PRODUCT_FIELDS)
        said["active"] = "true" if published else "false"
        set_options(said, attributes)
        return
    said["status"] = "active" if published else "draft"
    if _VARIABLE in kinds:
        drop(said, VARIANT_FIELDS)
    else:
        said.update({ATTRIBUTE + name: value for name, value in attributes if name and value})


PRESET: Final = Preset(
    title="WooCommerce",
    required=(("type",), ("name",), ("regular price",)),
    columns={
        "name": ("name",),
        "description": ("description", "short description"),
        "category_path": ("categories",),
        "published": ("published",),
        "sku": ("sku",),
        "price": ("regular price",),
        "sale_price": ("sale price",),
        "barcode": ("gtin, upc, ean, or isbn",),
        "on_hand": ("stock",),
    },
    reads=re.compile(r"id|type|parent|weight \((?:kg|g|lbs?|oz)\)|attribute [0-9]{1,2} (?:name|value\(s\))"),
    read=_read,
    survey=_survey,
)
