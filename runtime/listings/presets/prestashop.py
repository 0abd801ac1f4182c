"""PrestaShop's product files: the format of its import, which export modules also write, and the list of products that
its back office exports. The two name their columns differently. A product is one variant.

https://docs.prestashop-project.org/1-6-documentation/user-guide/understanding-the-preferences/csv-import-parameters
"""

import re
from typing import Final

from runtime.listings.presets.base import Cells, Group, Preset, Said, Seen, by_commas, set_path, slug_of

_ROOT: Final = "Home"
_SHOWN: Final = ("1", "true", "yes", "enabled")


def _key(cells: Cells) -> str:
    names = ("reference #", "reference", "product reference", "product id", "id")
    return next((cells[name] for name in names if name in cells), "")


def _name(cells: Cells) -> str:
    return next((cells[name] for name in ("name *", "name*", "name") if name in cells), "")


def _survey(cells: Cells, seen: Seen) -> None:
    seen.put(_key(cells), Group(seen.slug(_key(cells), _name(cells))))


def _read(cells: Cells, said: Said, seen: Seen) -> None:
    group = seen.groups.get(_key(cells))
    written = cells.get("url rewritten") or cells.get("friendly url") or ""
    said["slug"] = slug_of(written) if written else group.slug if group else slug_of(_name(cells))
    set_path(said, by_commas, "/", _ROOT)
    if "published" in said:
        said["status"] = "active" if said.pop("published").lower() in _SHOWN else "draft"


PRESET: Final = Preset(
    title="PrestaShop",
    required=(
        ("name *", "name*", "name"),
        ("price tax excluded", "price tax included", "price (tax excl.)", "price (tax incl.)"),
    ),
    columns={
        "name": ("name *", "name*", "name"),
        "description": ("description", "summary"),
        "category_path": ("categories (x,y,z...)", "categories", "category"),
        "published": ("active (0/1)", "active", "status", "enabled"),
        "sku": ("reference #", "reference", "product reference"),
        "price": ("price tax excluded", "price (tax excl.)", "price tax included", "price (tax incl.)"),
        "weight": ("weight",),
        "barcode": ("ean13", "ean-13", "upc"),
        "on_hand": ("quantity",),
    },
    reads=re.compile(r"product id|id|url rewritten|friendly url"),
    read=_read,
    survey=_survey,
)
