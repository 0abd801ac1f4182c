"""Reads the rows of one CSV file: by the standard columns, by a mapping of its columns, or by a preset.

A file with only standard columns takes a short cut. Any other is translated field by field, in the units given for the
file, and then checked like any row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from domain.fields.catalogue import canonical_sku
from domain.limits import SKU_MAX_CHARS
from domain.money import CURRENCIES
from domain.slugs import slug_from
from runtime.listings.amounts import BadNumber, Notation, amount_of, count_of, grams_of
from runtime.listings.columns import COLUMNS
from runtime.listings.headers import BadHeader, Header, listed
from runtime.listings.layout import FIELDS, IGNORE, OPTION, Layout, is_field
from runtime.listings.presets import PRESETS
from runtime.listings.presets.base import ATTRIBUTE, PATH, Aside, Preset, Said, Seen, slug_of
from runtime.listings.rows import BadRow, Row, fitting, of_cell, read_cells, row_of, text_of

_DIGEST_BYTES: Final = 4

# The fields that a column is derived from, so that an error names a column of the file.
_MADE_OF: Final = {
    "price_minor": ("price", "sale_price"),
    "compare_at_minor": ("compare_at", "sale_price", "price"),
    "currency": ("price",),
    "weight_grams": ("weight",),
    "status": ("published",),
    "category": ("category_path",),
}


class BadLayout(ValueError):
    """The layout given for a file is invalid; `field` is the field of the layout at fault."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


def check_layout(layout: Layout) -> None:
    """Raises BadLayout."""
    if layout.preset is not None and layout.preset not in PRESETS:
        raise BadLayout("preset", f"There is no preset {layout.preset[:40]!r}. The presets are {', '.join(PRESETS)}.")
    if layout.currency is not None and layout.currency not in CURRENCIES:
        raise BadLayout("currency", f"{layout.currency[:40]!r} is not an ISO 4217 currency code.")
    for column, field in layout.mapping.items():
        if not is_field(field):
            raise BadLayout(
                "mapping",
                f"{column[:40]!r} is mapped to {field[:40]!r}, which is not a field. The fields are "
                f"{', '.join(FIELDS)}, {OPTION} with a name, and {IGNORE}.",
            )


def knows(layout: Layout) -> Callable[[str], bool]:
    """Tells whether a column name is known in a file of this layout; its separator is found this way."""
    mapped = {column.strip().lower() for column in layout.mapping}
    preset = PRESETS[layout.preset] if layout.preset else None

    def known(name: str) -> bool:
        name = name.lower()
        return name in mapped or (preset.knows(name) if preset else is_field(name) and name != IGNORE)

    return known


def sheet_of(header: Header, layout: Layout, max_remembered: int) -> Sheet:
    """The reader of the rows under a header. Raises BadHeader."""
    return Sheet(header.names, layout, max_remembered)


class Sheet:
    """Reads the rows of one file. `ignored` are the columns that are not read."""

    def __init__(self, names: Sequence[str], layout: Layout, max_remembered: int) -> None:
        self._layout = layout
        self._names = tuple(names)
        self._keys = tuple(name.lower() for name in names)
        self._preset: Preset | None = PRESETS[layout.preset] if layout.preset else None
        self._seen = Seen(max_remembered)
        self._skus: dict[str, int] = {}
        self._notation = Notation(
            layout.decimal or (self._preset.decimal if self._preset else None), bool(layout.decimal)
        )
        self._fields = self._columns_by_field()
        self._check(self._fields)
        self._is_plain = not (self._preset or layout.mapping or layout.derive_skus or layout.currency)
        self._is_plain = self._is_plain and set(self._keys) <= {*COLUMNS, ""}
        used = {index for _, indexes in self._fields for index in indexes}
        self.ignored = tuple(
            name
            for index, name in enumerate(self._names)
            if name and index not in used and not (self._preset and self._preset.reads.fullmatch(self._keys[index]))
        )

    @property
    def must_be_surveyed(self) -> bool:
        """Whether `survey` must see all rows before the first is read."""
        return self._preset is not None or self._layout.derive_skus

    def survey(self, line: int, cells: Sequence[str]) -> None:
        """Takes note of a row before any is read. Raises TooMuchToRemember."""
        if self._preset is not None and len(cells) == len(self._keys):
            self._preset.survey(self._named(cells), self._seen)
        if self._layout.derive_skus:
            try:
                said = self._said(cells)
            except (BadRow, Aside):
                return
            if _wants_sku(said):
                self._skus.setdefault(_derived_sku(said), line)

    def read(self, line: int, cells: Sequence[str]) -> Row:
        """The row in the cells of a record. Raises BadRow and Aside."""
        if self._is_plain:
            return read_cells(self._keys, cells)
        try:
            said = self._said(cells)
            if self._layout.derive_skus and _wants_sku(said):
                said["sku"] = _derived_sku(said)
                if self._skus.get(said["sku"], line) != line:
                    raise BadRow(
                        "sku_taken", "An earlier row has the same options, so both would get the same SKU.", "sku"
                    )
            return row_of(self._values(said))
        except BadRow as bad:
            raise BadRow(bad.code, bad.detail, self.column_of(bad.column)) from None

    def column_of(self, field: str | None) -> str | None:
        """The column of the file that a field is read from."""
        if self._is_plain or field is None:
            return field
        for name in (field, *_MADE_OF.get(field, ())):
            for known, indexes in self._fields:
                if known == name:
                    return self._names[indexes[0]]
        return field

    def _columns_by_field(self) -> list[tuple[str, list[int]]]:
        """The fields, each with the indexes of its columns, the most important first."""
        mapping = {column.strip().lower(): field for column, field in self._layout.mapping.items()}
        if lost := [column for column in mapping if column not in self._keys]:
            raise BadHeader(f"The mapping names {listed(lost, 5)}, but the file has {listed(self._names, 50)}.")
        where: dict[str, list[int]] = {}
        for index, key in enumerate(self._keys):
            if key in mapping:
                where.setdefault(mapping[key], []).append(index)
        mapped = set(where)
        where.pop(IGNORE, None)
        if self._preset is not None:
            for field, columns in self._preset.columns.items():
                if field not in mapped:
                    found = [
                        self._keys.index(column) for column in columns if column in self._keys and column not in mapping
                    ]
                    where.update({field: found} if found else {})
            return list(where.items())
        for index, key in enumerate(self._keys):
            if key and key not in mapping and is_field(key) and key != IGNORE:
                where.setdefault(self._names[index] if key.startswith(OPTION) else key, []).append(index)
        return list(where.items())

    def _check(self, fields: list[tuple[str, list[int]]]) -> None:
        """Raises BadHeader for columns that are missing, unknown or contradictory."""
        if self._preset is not None:
            for columns in self._preset.required:
                if not set(columns) & set(self._keys):
                    raise BadHeader(
                        f"An export of {self._preset.title} has a column {listed(columns, 9)}; this file has "
                        f"{listed(self._names, 50)}."
                    )
            return
        unknown = [name for name, key in zip(self._names, self._keys, strict=True) if key and not is_field(key)]
        if unknown and not self._layout.mapping:
            raise BadHeader(
                f"Unknown columns: {listed(unknown, 5)}. The known columns are "
                f"{listed(FIELDS, len(FIELDS))}. For another system's file, give its preset or map its columns."
            )
        if twice := [field for field, indexes in fields if len(indexes) > 1]:
            raise BadHeader(f"Duplicate columns: {listed(sorted(twice), 5)}.")
        named = {field for field, _ in fields}
        if {"price", "price_minor"} <= named or {"weight", "weight_grams"} <= named:
            raise BadHeader("The file has two columns for the same amount or weight, in different units.")
        if not {"slug", "sku"} & named and not (self._layout.mapping and "name" in named):
            raise BadHeader("The file has neither a `slug` nor a `sku` column, so its rows name nothing.")

    def _named(self, cells: Sequence[str]) -> dict[str, str]:
        """The cells that are not empty, by column, except those of mapped columns."""
        mapped = {column.strip().lower() for column in self._layout.mapping}
        return {
            key: cell.strip() for key, cell in zip(self._keys, cells, strict=True) if key not in mapped and cell.strip()
        }

    def _said(self, cells: Sequence[str]) -> Said:
        cells = fitting(self._keys, cells)
        said = {field: next((cells[index] for index in indexes if cells[index]), "") for field, indexes in self._fields}
        if self._preset is None:
            said = {field: text_of(cell) for field, cell in said.items()}
            if "slug" not in said and said.get("name"):
                said["slug"] = slug_from(said["name"]) or slug_of(said.get("sku", ""), said["name"])
            return said
        said = {field: cell.strip() for field, cell in said.items()}
        self._preset.read(self._named(cells), said, self._seen)
        return said

    def _values(self, said: Said) -> dict[str, Any]:
        """The values of a Row. Raises BadRow."""
        values: dict[str, Any] = {
            field: of_cell(field, cell) if cell else None for field, cell in said.items() if field in _AS_THEY_ARE
        }
        for field, read in (("on_hand", self._count), ("weight", self._weight), ("category_path", self._path)):
            if field in said:
                values.update(read(said[field]))
        values.update(self._amounts(said))
        if (cell := said.get("published", "").strip()) and (shown := of_cell("active", cell)) is not None:
            if not isinstance(shown, bool):
                raise BadRow("invalid_value", f"{cell[:40]!r} is neither yes nor no.", "status")
            values["status"] = "active" if shown else "draft"
        options = list(_named_after(OPTION, said))
        attributes = {**dict(_named_after(ATTRIBUTE, said)), **dict(options)}
        if attributes:
            values["attributes"] = {**(values.get("attributes") or {}), **attributes}
        if options and not said.get("title"):
            values["title"] = ", ".join(value for _, value in options)
        return values

    def _count(self, cell: str) -> dict[str, Any]:
        try:
            return {"on_hand": count_of(cell) if cell.strip() else None}
        except BadNumber as bad:
            raise BadRow("invalid_value", str(bad), "on_hand") from None

    def _weight(self, cell: str) -> dict[str, Any]:
        unit = self._layout.weight_unit or (self._preset.weight_unit if self._preset else None)
        try:
            return {"weight_grams": grams_of(cell, unit, self._notation) if cell.strip() else None}
        except BadNumber as bad:
            raise BadRow("invalid_value", str(bad), "weight_grams") from None

    def _path(self, cell: str) -> dict[str, Any]:
        separator = PATH if self._preset else self._layout.category_separator or ">"
        names = tuple(name.strip() for name in cell.split(separator) if name.strip())
        return {"category_path": names or None}

    def _amounts(self, said: Said) -> dict[str, Any]:
        """Price, compare-at price and currency, as far as the row has them as amounts."""
        values: dict[str, Any] = {}
        currency = (said.get("currency") or "").strip() or self._layout.currency
        found: dict[str, int | None] = {}
        currencies: set[str] = set()
        for field in ("price", "sale_price", "compare_at"):
            if field not in said:
                continue
            found[field] = None
            if said[field].strip() and (field != "sale_price" or self._layout.sale_prices):
                try:
                    found[field], of = amount_of(said[field], currency, self._notation)
                except BadNumber as bad:
                    raise BadRow("invalid_value", str(bad), self._source(field)) from None
                currencies.add(of)
        if len(currencies) > 1:
            raise BadRow(
                "mixed_currencies", f"The row has amounts in {' and '.join(sorted(currencies))}.", "price_minor"
            )
        if "price" in found:
            values["price_minor"] = found["price"]
        if "compare_at" in found:
            values["compare_at_minor"] = found["compare_at"]
        if self._layout.sale_prices and "sale_price" in found:
            if found["sale_price"] is not None:
                values["compare_at_minor"] = values.get("price_minor")
                values["price_minor"] = found["sale_price"]
            else:
                values.setdefault("compare_at_minor", None)
        if currencies:
            values["currency"] = currencies.pop()
        elif (
            self._layout.currency
            and values.get("price_minor") is None
            and said.get("price_minor")
            and not said.get("currency")
        ):
            values["currency"] = self._layout.currency
        return values

    def _source(self, field: str) -> str:
        """The column of exactly this field."""
        return next((self._names[indexes[0]] for known, indexes in self._fields if known == field), field)


_AS_THEY_ARE: Final = frozenset((*COLUMNS, "price_list", "min_quantity")) - {"on_hand"}


def _named_after(prefix: str, said: Said) -> Iterator[tuple[str, str]]:
    """The names and values of the fields with a prefix."""
    for field, cell in said.items():
        if field.startswith(prefix) and cell.strip():
            yield field.removeprefix(prefix).strip(), cell.strip()


def _wants_sku(said: Said) -> bool:
    """Whether the row describes a variant without a SKU."""
    of_variant = any(said.get(field) for field in ("price", "price_minor", "on_hand")) or any(
        _named_after(OPTION, said)
    )
    return not said.get("sku") and bool(said.get("slug")) and of_variant


def _derived_sku(said: Said) -> str:
    """A SKU made of the slug and the options: the same for the same row in any file."""
    parts = [said["slug"], *(value for _, value in _named_after(OPTION, said))]
    written = "-".join(slug_from(part) for part in parts).upper()
    if len(written) <= SKU_MAX_CHARS and all(map(slug_from, parts)) and canonical_sku(written):
        return written
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=_DIGEST_BYTES).hexdigest().upper()
    return f"{written[: SKU_MAX_CHARS - len(digest) - 1].strip('-')}-{digest}".lstrip("-")
