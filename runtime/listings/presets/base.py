"""What a preset is, and what presets share: groups of rows that make one product, category paths, options."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from domain.slugs import slug_from
from runtime.listings.amounts import Separator
from runtime.listings.layout import OPTION

Cells = Mapping[str, str]
"""The cells of a row that are not empty, by column name in lower case."""

Said = dict[str, str]
"""What a row says, by field (`layout.FIELDS`, OPTION and ATTRIBUTE with a name); an empty string clears the field."""

ATTRIBUTE: Final = "attribute:"
"""Prefix of an attribute that all variants of a product share."""

PATH: Final = "\x1f"
"""Separates the names in a category's path; no name can contain it."""

PRODUCT_FIELDS: Final = ("name", "description", "category", "category_path", "status", "published")
VARIANT_FIELDS: Final = (
    *("sku", "title", "price", "sale_price", "compare_at", "weight", "barcode", "active", "on_hand"),
)

_DIGEST_BYTES: Final = 5


class Aside(Exception):
    """A row that this shop has no use for (another language, another kind of item), and why."""


class TooMuchToRemember(Exception):
    """A file has more products than a preset may remember."""


class Group(msgspec.Struct, frozen=True):
    """What the rows of one product share: its slug, the default weight of its variants, its option names, and the key
    of the row that describes the product."""

    slug: str
    weight: str = ""
    options: Mapping[str, str] = {}
    first: str = ""


class Seen:
    """What a survey of the whole file found before its rows are read: the groups by key, and the owner of each slug."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self.groups: dict[str, Group] = {}
        self._keys: dict[str, str] = {}

    def put(self, key: str, group: Group) -> None:
        """Keeps a group under a key, unless the key already has one. Raises TooMuchToRemember."""
        if key and key not in self.groups:
            if len(self.groups) >= self._max_entries:
                raise TooMuchToRemember
            self.groups[key] = group

    def slug(self, key: str, name: str) -> str:
        """A slug for a name, unique to its key in this file. Raises TooMuchToRemember."""
        slug = slug_of(name, key)
        if self._keys.setdefault(slug, key) != key:
            slug = slug_of(f"{name} {key}", key)
            self._keys.setdefault(slug, key)
        if len(self._keys) > self._max_entries:
            raise TooMuchToRemember
        return slug


def _nothing(cells: Cells, seen: Seen) -> None:
    """For exports whose rows are independent."""


class Preset(NamedTuple):
    """The export of a shop system. Each group in `required` must have one of its columns in the file; `columns` are
    those of a field, of which the first that is not empty counts; `reads` matches the others that `read` looks at.
    `survey` sees every row before the first is read. `decimal` and `weight_unit` are set if the system always writes
    the same."""

    title: str
    required: tuple[tuple[str, ...], ...]
    columns: Mapping[str, tuple[str, ...]]
    reads: re.Pattern[str]
    read: Callable[[Cells, Said, Seen], None]
    survey: Callable[[Cells, Seen], None] = _nothing
    decimal: Separator | None = "point"
    weight_unit: str | None = None

    def knows(self, name: str) -> bool:
        """Whether it reads a column of this name (in lower case)."""
        return any(name in names for names in self.columns.values()) or self.reads.fullmatch(name) is not None


def slug_of(*texts: str) -> str:
    """The slug of the first text that has one; if none has (in other scripts), one made from a digest."""
    for text in texts:
        if slug := slug_from(text):
            return slug
    return f"p-{hashlib.blake2b(''.join(texts).encode(), digest_size=_DIGEST_BYTES).hexdigest()}"


def drop(said: Said, fields: Iterable[str]) -> None:
    """Removes fields that the row does not describe."""
    for field in fields:
        said.pop(field, None)


def set_path(said: Said, split: Callable[[str], Iterable[str]], separator: str, root: str = "") -> None:
    """Reduces the categories that a row names, which `split` separates, to one path: the deepest, and the first of
    those. `root` is a name that every path begins with and that is left out."""
    if "category_path" not in said:
        return
    deepest: list[str] = []
    for path in split(said["category_path"]):
        names = [name.strip() for name in path.split(separator) if name.strip()]
        names = names[1:] if root and names[:1] == [root] else names
        deepest = names if len(names) > len(deepest) else deepest
    said["category_path"] = PATH.join(deepest)


def by_commas(text: str) -> list[str]:
    """Several paths, separated by commas."""
    return text.split(",")


def alone(text: str) -> list[str]:
    """A single path."""
    return [text]


def set_options(said: Said, options: Iterable[tuple[str, str]]) -> None:
    """Sets the options of a variant, by name."""
    for name, value in options:
        if name and value:
            said[OPTION + name] = value


def numbered(cells: Cells, name: str, value: str, most: int) -> list[tuple[str, str]]:
    """Names and values from pairs of columns; `name` and `value` are format strings for the pair's number."""
    return [(cells.get(name.format(number), ""), cells.get(value.format(number), "")) for number in range(1, most + 1)]


def weight_by_header(cells: Cells) -> str | None:
    """The weight with the unit from its column's name, as in `Weight (kg)`; None if there is no such column."""
    for unit in ("kg", "g", "lb", "lbs", "oz"):
        if weight := cells.get(f"weight ({unit})"):
            return f"{weight} {unit}"
    return None
