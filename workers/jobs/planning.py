"""What the rows of an import become: one command each, and the order in which they must be applied. A window of rows is
planned on the shop's state of the products and SKUs that it names, and on what its own earlier rows say about them.
Rows about different things may be applied concurrently; rows about the same thing are put into successive waves, so
that the file's last word stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from msgspec import UNSET

from domain.catalogue import DRAFT, Product, ProductFields, PutListing, Variant, VariantFields
from domain.categories import Category
from domain.ids import milliseconds_of, new_id, slot_of_key
from domain.model import Price
from domain.sku_prices import PutPrices
from domain.stock import SetStock
from runtime import entities
from runtime.database import Connection
from runtime.listings.rows import BadRow, Row
from workers.jobs.category_paths import CategoryTree, Path, shown


class Planned(NamedTuple):
    """A row's command. `fingerprint` is the digest of the row's bytes; a wave comes after those with lower numbers."""

    line: int
    fingerprint: bytes
    wave: int
    command: PutListing | SetStock | PutPrices


class Known(msgspec.Struct, frozen=True):
    """The shop's state of what a window names: products by slug, variants by SKU, ids of categories by slug and by
    path. If a path leads nowhere, `refused` may say why."""

    products: Mapping[str, Product]
    variants: Mapping[str, Variant]
    categories: Mapping[str, UUID]
    paths: Mapping[Path, UUID] = {}
    refused: Mapping[Path, tuple[str, str]] = {}


async def known_of(connection: Connection, rows: Sequence[Row]) -> Known:
    """The state in Postgres of what the rows name."""

    async def load(kind: type[Any], column: str, values: Iterable[object]) -> list[Any]:
        named = {value for value in values if value}
        return await entities.load(connection, entities.table_of(kind), column, named) if named else []

    return Known(
        {product.slug: product for product in await load(Product, "slug", (row.slug for row in rows))},
        {variant.sku: variant for variant in await load(Variant, "sku", (row.sku for row in rows))},
        {category.slug: category.id for category in await load(Category, "slug", (row.category for row in rows))},
    )


async def tree_of(connection: Connection) -> CategoryTree:
    """The shop's categories by path."""
    rows = await connection.fetch("SELECT id, slug, name, parent_id, position, version FROM categories")
    return CategoryTree(Category(*row) for row in rows)


class _SaidProduct(msgspec.Struct):
    """A product as the rows so far want it; without fields if only its id is known. `since` is the wave that set these
    fields, -1 if the shop has them; `last` is the last wave about the product."""

    product_id: UUID
    fields: ProductFields | None
    since: int = -1
    last: int = -1


class _SaidVariant(msgspec.Struct):
    """A variant as the rows so far want it; `last` is the last wave about it, -1 for none."""

    product_id: UUID
    fields: VariantFields
    last: int = -1


class Window:
    """Plans the rows of one window, in the order of their lines."""

    def __init__(self, job_id: UUID, known: Known) -> None:
        self._job_id = job_id
        self._known = known
        self._products = {slug: _SaidProduct(it.id, _product_fields(it)) for slug, it in known.products.items()}
        self._variants = {sku: _SaidVariant(it.product_id, _variant_fields(it)) for sku, it in known.variants.items()}

    def plan(self, line: int, data: bytes, row: Row) -> Planned:
        """The command of a row with these bytes. Raises BadRow if the row makes no sense in this shop."""
        if row.price_list is not None:
            listed, wave = self._listed(row, row.price_list)
            return Planned(line, hashlib.blake2b(data, digest_size=16).digest(), wave, listed)
        count_only = row.on_hand is not None and not row.speaks_of_product and not row.speaks_of_variant
        command, wave = self._count(row) if count_only else self._listing(row)
        return Planned(line, hashlib.blake2b(data, digest_size=16).digest(), wave, command)

    def _count(self, row: Row) -> tuple[SetStock, int]:
        """A stock count, and nothing else."""
        assert row.sku is not None
        assert row.on_hand is not None
        variant = self._variants.get(row.sku)
        if variant is None:
            raise BadRow("unknown_sku", "The catalogue has no such SKU.", "sku")
        if row.slug and self._product(row, variant).product_id != variant.product_id:
            raise BadRow("sku_taken", "Another product has this SKU.", "sku")
        variant.last += 1
        return SetStock(row.sku, row.on_hand), variant.last

    def _listed(self, row: Row, price_list_id: UUID) -> tuple[PutPrices, int]:
        """A price on a price list; the list's others stay."""
        variant = self._variants.get(row.sku) if row.sku else None
        if variant is None or row.sku is None or row.price_minor is None or row.currency is None:
            raise BadRow("unknown_sku", "The catalogue has no such SKU.", "sku")
        variant.last += 1
        price = Price(row.currency, row.price_minor, price_list_id, row.min_quantity or 1)
        return PutPrices(variant.product_id, row.sku, price_list_id, (price,), adds=True), variant.last

    def _listing(self, row: Row) -> tuple[PutListing, int]:
        variant = self._variants.get(row.sku) if row.sku else None
        product = self._product(row, variant)
        product_fields = self._merged_product(row, product) if row.speaks_of_product else None
        # A count in a row about a product also concerns the variant.
        of_variant = row.speaks_of_variant or row.on_hand is not None
        variant_fields = self._merged_variant(row, variant) if of_variant else None

        wave = max(product.since, 0)
        if product_fields is not None and product_fields != product.fields:
            wave = product.last + 1
            product.fields, product.since = product_fields, wave
        if variant_fields is not None:
            wave = max(wave, variant.last + 1 if variant else 0)
            if variant is None or variant.product_id == product.product_id:
                self._variants[variant_fields.sku] = _SaidVariant(product.product_id, variant_fields, wave)
            else:  # it will be refused: the variant stays where it is
                variant.last = wave
        product.last = max(product.last, wave)
        if product_fields is None and product.since >= 0:
            product_fields = product.fields  # set by an earlier row, which may have been rejected
        return PutListing(product.product_id, product_fields, variant_fields, row.on_hand, _kept(row)), wave

    def _product(self, row: Row, variant: _SaidVariant | None) -> _SaidProduct:
        """The product that the row is about; a new one's id follows from the job and its slug, so that the row is the
        same however often it is planned."""
        if row.slug:
            product = self._products.get(row.slug)
            if product is None:
                if not row.speaks_of_product:
                    raise BadRow("product_not_found", "There is no such product.", "slug")
                product = self._products[row.slug] = _SaidProduct(new_product_id(self._job_id, row.slug), None)
            return product
        if row.speaks_of_product:
            raise BadRow("nothing_named", "The row describes a product but does not name it (slug).", "slug")
        if variant is None:
            raise BadRow("unknown_sku", "The catalogue has no such SKU; a new one needs its product (slug).", "sku")
        return _SaidProduct(variant.product_id, None)

    def _merged_product(self, row: Row, product: _SaidProduct) -> ProductFields:
        before = product.fields
        assert row.slug is not None
        name = row.name or (before.name if before else None)
        if name is None:
            raise BadRow("value_missing", "A new product needs a name.", "name")
        description, category_id = (before.description, before.category_id) if before else ("", None)
        if row.description is not UNSET:
            description = row.description or ""
        if row.category is not UNSET:
            category_id = self._known.categories.get(row.category) if row.category else None
            if row.category and category_id is None:
                raise BadRow("unknown_category", "There is no such category.", "category")
        if row.category_path is not UNSET:
            category_id = self._by_path(row.category_path) if row.category_path else None
        status = row.status or (before.status if before else DRAFT)
        return ProductFields(row.slug, name, description, category_id, status)

    def _by_path(self, path: Path) -> UUID:
        category_id = self._known.paths.get(path)
        if category_id is None:
            nowhere = f"There is no category {shown(path)!r}; the import may create it (`create_categories`)."
            code, detail = self._known.refused.get(path, ("unknown_category", nowhere))
            raise BadRow(code, detail, "category")
        return category_id

    def _merged_variant(self, row: Row, variant: _SaidVariant | None) -> VariantFields:
        before = variant.fields if variant else None
        assert row.sku is not None
        price_minor = before.price_minor if row.price_minor is None and before else row.price_minor
        currency = row.currency or (before.currency if before else None)
        if price_minor is None or currency is None:
            raise BadRow(
                "value_missing",
                "A new variant needs a price and its currency.",
                "price_minor" if price_minor is None else "currency",
            )
        active = row.active if row.active is not None else before.active if before else True
        said = before or VariantFields(row.sku, price_minor, currency)
        return VariantFields(
            row.sku,
            price_minor,
            currency,
            said.title if row.title is UNSET else row.title or "",
            said.compare_at_minor if row.compare_at_minor is UNSET else row.compare_at_minor,
            said.weight_grams if row.weight_grams is UNSET else row.weight_grams,
            said.barcode if row.barcode is UNSET else row.barcode or None,
            said.attributes if row.attributes is UNSET else row.attributes or {},
            active,
            said.kind,
            said.tax_class,
        )


def _kept(row: Row) -> tuple[str, ...]:
    """The fields that the row leaves alone: planned at their current values, and kept if they change meanwhile. No row
    changes a slug, and a price goes with its currency."""
    kept = ["slug", "kind", "tax_class"]  # a listing has no columns for them
    if not row.speaks_of_product:
        kept += _OF_PRODUCT
    elif row.category is UNSET and row.category_path is UNSET:
        kept.append("category_id")
    if not row.speaks_of_variant:
        kept += _OF_VARIANT
    elif row.price_minor is None and not row.currency:
        kept += _OF_PRICE
    kept += [name for name in _ALWAYS_FILLED if getattr(row, name) in (None, "")]
    kept += [name for name in _MAY_BE_EMPTY if getattr(row, name) is UNSET]
    return tuple(dict.fromkeys(kept))


_OF_PRODUCT: Final = ProductFields.__struct_fields__
_OF_VARIANT: Final = VariantFields.__struct_fields__
_OF_PRICE: Final = ("price_minor", "currency")
_ALWAYS_FILLED: Final = ("name", "status", "active")
_MAY_BE_EMPTY: Final = ("description", "title", "compare_at_minor", "weight_grams", "barcode", "attributes")


def _product_fields(product: Product) -> ProductFields:
    return ProductFields(product.slug, product.name, product.description, product.category_id, product.status)


def _variant_fields(variant: Variant) -> VariantFields:
    return VariantFields(
        variant.sku,
        variant.price_minor,
        variant.currency,
        variant.title,
        variant.compare_at_minor,
        variant.weight_grams,
        variant.barcode,
        variant.attributes,
        variant.active,
        variant.kind,
        variant.tax_class,
    )


def new_product_id(job_id: UUID, slug: str) -> UUID:
    """A UUIDv7 of the job's time, in the slot of the slug."""
    digest = hashlib.blake2b(job_id.bytes + slug.encode(), digest_size=8).digest()
    return new_id(milliseconds_of(job_id), slot_of_key(slug), int.from_bytes(digest))
