"""The product export of Magento (Adobe Commerce): a row for each product, and one more for each store view that
differs. A configurable product lists the SKUs of its variants, which have rows of their own.

https://experienceleague.adobe.com/en/docs/commerce-admin/systems/data-transfer/data-attributes-product
"""

import re
from collections.abc import Iterator
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
    by_commas,
    drop,
    set_options,
    set_path,
    slug_of,
)

_SINGLE: Final = frozenset({"simple", "virtual", "downloadable"})
_CONFIGURABLE: Final = "configurable"
_HIDDEN: Final = "not visible individually"
_ROOT: Final = "Default Category"
_ONLINE: Final = "1"


def _slug(cells: Cells) -> str:
    return slug_of(cells.get("url_key", ""), cells.get("name", ""), cells.get("sku", ""))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Pairs as in `color=Red,size=L`; a part without `=` continues the value before it."""
    name = value = ""
    for part in text.split(","):
        before, equals, after = part.partition("=")
        if not equals and name:
            value = f"{value},{part}"
            continue
        if name:
            yield name.strip(), value.strip()
        name, value = before, after
    if name:
        yield name.strip(), value.strip()


def _survey(cells: Cells, seen: Seen) -> None:
    if cells.get("product_type") != _CONFIGURABLE or "store_view_code" in cells:
        return
    labels = dict(_pairs(cells.get("configurable_variation_labels", "")))
    for variation in cells.get("configurable_variations", "").split("|"):
        options = dict(_pairs(variation))
        if sku := options.pop("sku", ""):
            named = {labels.get(code, code): value for code, value in options.items()}
            seen.put(sku, Group(_slug(cells), options=named))


def _read(cells: Cells, said: Said, seen: Seen) -> None:
    if view := cells.get("store_view_code"):
        raise Aside(f"Values of the store view {view!r}, such as a translation.")
    kind = cells.get("product_type", "")
    if kind not in _SINGLE and kind != _CONFIGURABLE:
        raise Aside(f"A product of type {kind!r}.")
    group = seen.groups.get(cells.get("sku", ""))
    said.update({ATTRIBUTE + name: value for name, value in _pairs(cells.get("additional_attributes", "")) if value})
    if group is not None:
        said["slug"] = group.slug
        for field in [field for field in said if field.startswith(ATTRIBUTE)]:
            if said[field] in group.options.values():  # the same option, under its code
                del said[field]
        set_options(said, group.options.items())
        said["active"] = "true" if said.get("published", _ONLINE) == _ONLINE else "false"
        drop(said, PRODUCT_FIELDS)
        return
    said["slug"] = _slug(cells)
    set_path(said, by_commas, "/", _ROOT)
    hidden = cells.get("visibility", "").lower() == _HIDDEN
    said["status"] = "active" if said.pop("published", _ONLINE) == _ONLINE and not hidden else "draft"
    if kind == _CONFIGURABLE:
        drop(said, (*VARIANT_FIELDS, *[field for field in said if field.startswith(ATTRIBUTE)]))


PRESET: Final = Preset(
    title="Magento (Adobe Commerce)",
    required=(("sku",), ("product_type",), ("name",)),
    columns={
        "name": ("name",),
        "description": ("description", "short_description"),
        "category_path": ("categories",),
        "published": ("product_online",),
        "sku": ("sku",),
        "price": ("price",),
        "sale_price": ("special_price",),
        "weight": ("weight",),
        "on_hand": ("qty",),
    },
    reads=re.compile(
        r"store_view_code|product_type|url_key|visibility|additional_attributes"
        r"|configurable_variations|configurable_variation_labels"
    ),
    read=_read,
    survey=_survey,
)
