"""The catalogue: products and their variants. A variant is a SKU, with its price; it is on sale while both are active.

Products are changed by their own mailbox only. A price or a sale that changes is what orders must never see late: the
batch that writes it says so (see `workers/rows.py`).
"""

from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import msgspec

from domain.categories import Category
from domain.ids import slot_of_id
from domain.limits import (
    DESCRIPTION_MAX_CHARS,
    NAME_MAX_CHARS,
    NAME_MIN_CHARS,
    PRICE_MAX_MINOR,
    PRODUCT_MAX_VARIANTS,
    STOCK_MAX_ON_HAND,
    is_slug,
)
from domain.model import Command, Decision, Event, Offer, Rejection, Shop, Who, decides, evolves
from domain.stock import NOTHING, StockAdjusted, moved

DRAFT: Final = "draft"
ACTIVE: Final = "active"
ARCHIVED: Final = "archived"
PRODUCT_STATUSES: Final = (DRAFT, ACTIVE, ARCHIVED)

COUNTED: Final = "counted"
"""The reason of the correction that brings a shelf to what was counted on it."""


class Product(msgspec.Struct, frozen=True):
    """A product as it stands. `version` counts its changes, those of its variants among them."""

    id: UUID
    slug: str
    name: str
    description: str
    category_id: UUID | None
    status: str
    version: int


class Variant(msgspec.Struct, frozen=True):
    """A SKU of a product. Prices are per piece, in the minor units of `currency` (ISO 4217); `compare_at_minor` is the
    price it is shown reduced from. `on_sale` is whether it can be ordered: it and its product are active."""

    sku: str
    product_id: UUID
    title: str
    price_minor: int
    currency: str
    compare_at_minor: int | None
    weight_grams: int | None
    barcode: str | None
    attributes: dict[str, str]
    active: bool
    on_sale: bool


_Price = Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX_MINOR)]


class ProductFields(msgspec.Struct, frozen=True, array_like=True):
    """What staff say of a product."""

    slug: str
    name: Annotated[str, msgspec.Meta(min_length=NAME_MIN_CHARS, max_length=NAME_MAX_CHARS)]
    description: Annotated[str, msgspec.Meta(max_length=DESCRIPTION_MAX_CHARS)] = ""
    category_id: UUID | None = None
    status: str = DRAFT

    def __post_init__(self) -> None:
        if not is_slug(self.slug):
            raise ValueError(f"{self.slug!r} is no slug")
        if self.status not in PRODUCT_STATUSES:
            raise ValueError(f"{self.status!r} is no status of a product")


class VariantFields(msgspec.Struct, frozen=True, array_like=True):
    """What staff say of a variant."""

    sku: str
    price_minor: _Price
    currency: str
    title: str = ""
    compare_at_minor: _Price | None = None
    weight_grams: int | None = None
    barcode: str | None = None
    attributes: dict[str, str] = {}
    active: bool = True


class CreateProduct(Command, frozen=True):
    product_id: UUID
    product: ProductFields
    variants: Annotated[tuple[VariantFields, ...], msgspec.Meta(max_length=PRODUCT_MAX_VARIANTS)] = ()

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class ChangeProduct(Command, frozen=True):
    """`changes` are fields of ProductFields by name. With `version`, only if the product still has that one."""

    product_id: UUID
    changes: dict[str, Any]
    version: int | None = None

    def slot(self) -> int:
        return slot_of_id(self.product_id)

    def category_id(self) -> UUID | None:
        """The category that it is to be in, if that changes."""
        category_id = self.changes.get("category_id")
        return UUID(category_id) if isinstance(category_id, str) else None


class SetVariant(Command, frozen=True):
    """Adds the variant, or replaces what was said of it."""

    product_id: UUID
    variant: VariantFields
    version: int | None = None

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class PutListing(Command, frozen=True):
    """One row of an import: the product as it is to be, one of its variants, and how many pieces of it were counted;
    each may be left out. What already is so is left as it is."""

    product_id: UUID
    product: ProductFields | None = None
    variant: VariantFields | None = None
    on_hand: Annotated[int, msgspec.Meta(ge=0, le=STOCK_MAX_ON_HAND)] | None = None

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class ProductCreated(Event, frozen=True):
    type: ClassVar[str] = "product.created"
    product_id: UUID
    slug: str
    name: str
    description: str
    category_id: UUID | None
    status: str

    def subject(self) -> str:
        return str(self.product_id)


class ProductChanged(Event, frozen=True):
    """The product as it is now."""

    type: ClassVar[str] = "product.changed"
    product_id: UUID
    slug: str
    name: str
    description: str
    category_id: UUID | None
    status: str

    def subject(self) -> str:
        return str(self.product_id)


class VariantAdded(Event, frozen=True):
    type: ClassVar[str] = "product.variant_added"
    product_id: UUID
    sku: str
    title: str
    price_minor: int
    currency: str
    compare_at_minor: int | None
    weight_grams: int | None
    barcode: str | None
    attributes: dict[str, str]
    active: bool

    def subject(self) -> str:
        return str(self.product_id)


class VariantChanged(Event, frozen=True):
    """The variant as it is now."""

    type: ClassVar[str] = "product.variant_changed"
    product_id: UUID
    sku: str
    title: str
    price_minor: int
    currency: str
    compare_at_minor: int | None
    weight_grams: int | None
    barcode: str | None
    attributes: dict[str, str]
    active: bool

    def subject(self) -> str:
        return str(self.product_id)


class ListingUnchanged(Event, frozen=True):
    """A row of an import said nothing new."""

    type: ClassVar[str] = "product.unchanged"
    product_id: UUID

    def subject(self) -> str:
        return str(self.product_id)


@decides(CreateProduct)
def _create(shop: Shop, command: CreateProduct, who: Who) -> Decision:
    refused = _refused(shop, command.product_id, command.product)
    if refused is not None:
        return refused
    events: list[Event] = [ProductCreated(command.product_id, *msgspec.structs.astuple(command.product))]
    for variant in command.variants:
        if variant.sku in shop.offers:
            return _sku_taken(variant.sku)
        events.append(_variant_event(VariantAdded, command.product_id, variant))
    return events


@decides(ChangeProduct)
def _change(shop: Shop, command: ChangeProduct, who: Who) -> Decision:
    product = shop.of(Product).get(command.product_id)
    if product is None:
        return _not_found(command.product_id)
    if (conflict := _version_conflict(product, command.version)) is not None:
        return conflict
    said = {name: getattr(product, name) for name in ProductFields.__struct_fields__}
    fields = msgspec.convert([*{**said, **command.changes}.values()], ProductFields, strict=False)
    return _refused(shop, product.id, fields) or (ProductChanged(product.id, *msgspec.structs.astuple(fields)),)


@decides(SetVariant)
def _set_variant(shop: Shop, command: SetVariant, who: Who) -> Decision:
    product = shop.of(Product).get(command.product_id)
    if product is None:
        return _not_found(command.product_id)
    if (conflict := _version_conflict(product, command.version)) is not None:
        return conflict
    variant = shop.of(Variant).get(command.variant.sku)
    if variant is not None and variant.product_id != product.id:
        return _sku_taken(variant.sku)
    return (_variant_event(VariantChanged if variant else VariantAdded, product.id, command.variant),)


@decides(PutListing)
def _put(shop: Shop, command: PutListing, who: Who) -> Decision:
    events: list[Event] = []
    product_id = command.product_id
    product = shop.of(Product).get(product_id)
    if command.product is not None:
        refused = _refused(shop, product_id, command.product)
        if refused is not None:
            return refused
        said = msgspec.structs.astuple(command.product)
        if product is None:
            events.append(ProductCreated(product_id, *said))
        elif said != msgspec.structs.astuple(product)[1:-1]:
            events.append(ProductChanged(product_id, *said))
    elif product is None:
        return _not_found(product_id)
    fields = command.variant
    if fields is not None:
        variant = shop.of(Variant).get(fields.sku)
        if variant is None:
            events.append(_variant_event(VariantAdded, product_id, fields))
        elif variant.product_id != product_id:
            return _sku_taken(fields.sku)
        elif (changed := _variant_event(VariantChanged, product_id, fields)) != _variant_event(
            VariantChanged, product_id, variant
        ):
            events.append(changed)
        if command.on_hand is not None:
            stock = shop.stock.get(fields.sku, NOTHING)
            if change := command.on_hand - stock.on_hand:
                if variant is not None and (short := moved(shop, fields.sku, change)) is not None:
                    return short
                events.append(StockAdjusted(fields.sku, change, COUNTED))
    return events or (ListingUnchanged(product_id),)


def _refused(shop: Shop, product_id: UUID, fields: ProductFields) -> Rejection | None:
    """Why a product cannot be as said."""
    if any(other.slug == fields.slug and other.id != product_id for other in shop.of(Product).values()):
        return Rejection("slug_taken", "Another product has this slug.", {"slug": fields.slug})
    if fields.category_id is not None and fields.category_id not in shop.of(Category):
        return Rejection("unknown_category", "There is no such category.", {"category_id": str(fields.category_id)})
    return None


def _sku_taken(sku: str) -> Rejection:
    return Rejection("sku_taken", "Another product has this SKU.", {"sku": sku})


def _not_found(product_id: UUID) -> Rejection:
    return Rejection("product_not_found", "There is no such product.", {"product_id": str(product_id)})


def _version_conflict(product: Product, version: int | None) -> Rejection | None:
    if version is None or version == product.version:
        return None
    return Rejection(
        "version_conflict",
        "It was changed meanwhile: read it again.",
        {"version": product.version, "expected_version": version},
    )


def _variant_event(
    kind: type[VariantAdded] | type[VariantChanged], product_id: UUID, said: VariantFields | Variant
) -> VariantAdded | VariantChanged:
    return kind(
        product_id,
        said.sku,
        said.title,
        said.price_minor,
        said.currency,
        said.compare_at_minor,
        said.weight_grams,
        said.barcode,
        said.attributes,
        said.active,
    )


@evolves(ProductCreated)
def _created(shop: Shop, event: ProductCreated) -> None:
    shop.of(Product)[event.product_id] = Product(*(*msgspec.structs.astuple(event), 1))


@evolves(ProductChanged)
def _changed(shop: Shop, event: ProductChanged) -> None:
    before = shop.of(Product).get(event.product_id)
    shop.of(Product)[event.product_id] = Product(
        *(*msgspec.structs.astuple(event), before.version + 1 if before else 1)
    )
    if before is None or before.status != event.status:
        for variant in list(shop.of(Variant).values()):
            if variant.product_id == event.product_id:
                _keep(shop, msgspec.structs.replace(variant, on_sale=variant.active and event.status == ACTIVE))


@evolves(VariantAdded)
@evolves(VariantChanged)
def _variant(shop: Shop, event: VariantAdded | VariantChanged) -> None:
    product = shop.of(Product).get(event.product_id)
    if product is not None:
        shop.of(Product)[product.id] = msgspec.structs.replace(product, version=product.version + 1)
    product_id, sku, *said = msgspec.structs.astuple(event)
    on_sale = event.active and product is not None and product.status == ACTIVE
    _keep(shop, Variant(*(sku, product_id, *said, on_sale)))


def _keep(shop: Shop, variant: Variant) -> None:
    shop.of(Variant)[variant.sku] = variant
    shop.offers[variant.sku] = Offer(variant.sku, variant.price_minor, variant.currency, variant.on_sale)


@evolves(ListingUnchanged)
def _unchanged(shop: Shop, event: ListingUnchanged) -> None:
    pass
