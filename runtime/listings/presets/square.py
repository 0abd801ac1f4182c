"""Square's item library: a row for each variation of an item, with a stock column for each location. An item is
identified by its name.

https://squareup.com/help/us/en/article/5153-import-items-online
"""

import re
from typing import Final

from runtime.listings.presets.base import (
    Aside,
    Cells,
    Preset,
    Said,
    Seen,
    by_commas,
    numbered,
    set_options,
    set_path,
    slug_of,
    weight_by_header,
)

_OPTIONS_MAX: Final = 6
_ONLY_VARIATION: Final = "regular"
_NO_GOODS: Final = ("service", "event", "donation", "gift card", "class", "membership")
_QUANTITY: Final = "current quantity"


def _read(cells: Cells, said: Said, seen: Seen) -> None:
    kind = cells.get("item type", "")
    if any(word in kind.lower() for word in _NO_GOODS):
        raise Aside(f"An item of type {kind!r}.")
    if said.get("price", "").lower() in ("variable", "variable pricing"):
        raise Aside("An item whose price is decided at the till.")
    said["slug"] = slug_of(cells.get("item name", ""))
    set_path(said, by_commas, ">")
    if said.get("title", "").lower() == _ONLY_VARIATION:
        said["title"] = ""
    visibility = cells.get("square online item visibility", "").lower()
    archived = cells.get("archived", "").lower() in ("y", "yes", "true")
    said["status"] = "archived" if archived else "draft" if visibility in ("hidden", "unavailable") else "active"
    if weight := weight_by_header(cells):
        said["weight"] = weight
    counted = [cell for name, cell in cells.items() if name.startswith(_QUANTITY)]
    if counted and all(cell.isdecimal() for cell in counted):
        said["on_hand"] = str(sum(map(int, counted)))
    elif counted:
        said["on_hand"] = ", ".join(counted)  # rejected as it is
    set_options(said, numbered(cells, "option name {}", "option value {}", _OPTIONS_MAX))


PRESET: Final = Preset(
    title="Square",
    required=(("item name",), ("price",)),
    columns={
        "name": ("item name",),
        "title": ("variation name",),
        "description": ("description",),
        "category_path": ("categories", "category", "reporting category"),
        "sku": ("sku",),
        "price": ("price",),
        "barcode": ("gtin",),
    },
    reads=re.compile(
        r"item type|archived|square online item visibility|current quantity.*|option (?:name|value) [1-6]"
        r"|weight \((?:kg|g|lbs?|oz)\)"
    ),
    read=_read,
)
