"""The rules of the catalogue: what products and variants may be, and what each event changes.

Products are changed by their own mailbox only. Orders must never be decided on an outdated price, so the batch that
changes one moves a guard (see `workers/rows.py`).
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from domain.catalogue import (
    ACTIVE,
    DIGITAL,
    DRAFT,
    GIFT_CARD,
    ChangeProduct,
    ChangeVariant,
    CreateProduct,
    ListingUnchanged,
    Product,
    ProductChanged,
    ProductCreated,
    ProductFields,
    PutListing,
    SetVariant,
    Variant,
    VariantAdded,
    VariantChanged,
    VariantFields,
)
from domain.categories import Category
from domain.limits import PRODUCT_MAX_VARIANTS, VARIANT_MAX_ATTRIBUTES
from domain.lookups import owners_of_slugs, skus_of_products
from domain.model import Context, Decision, Event, Offer, Rejection, Shop, decides, evolves
from domain.price_history import history_of
from domain.stock import COUNTED, STOCK, StockAdjusted, moved

_Fields = TypeVar("_Fields", ProductFields, VariantFields)


@decides(CreateProduct)
def _create(shop: Shop, command: CreateProduct, context: Context) -> Decision:
    if command.product_id in shop.of(Product):
        raise ValueError("a product is created once: its id is taken")
    refused = _refused(shop, None, command.product)
    if refused is not None:
        return refused
    events: list[Event] = [ProductCreated(product_id=command.product_id, **_fields(ProductFields, command.product))]
    added: set[str] = set()
    for variant in command.variants:
        if variant.sku in shop.offers or variant.sku in added:
            return _sku_taken(variant.sku)
        added.add(variant.sku)
        events.append(_variant_event(VariantAdded, command.product_id, variant, command.product.status, context.at))
    return events


@decides(ChangeProduct)
def _change(shop: Shop, command: ChangeProduct, context: Context) -> Decision:
    product = shop.of(Product).get(command.product_id)
    if product is None:
        return _not_found(command.product_id)
    if (conflict := _version_conflict(product, command.version)) is not None:
        return conflict
    said = _fields(ProductFields, product)
    fields = msgspec.convert([*{**said, **command.changes}.values()], ProductFields, strict=False)
    if (refused := _refused(shop, product, fields)) is not None:
        return refused
    return (_product_changed(product, fields) or ListingUnchanged(product.id),)


@decides(SetVariant)
def _set_variant(shop: Shop, command: SetVariant, context: Context) -> Decision:
    product = shop.of(Product).get(command.product_id)
    if product is None:
        return _not_found(command.product_id)
    if (conflict := _version_conflict(product, command.version)) is not None:
        return conflict
    told = _variant_put(shop, product.id, command.variant, product.status, context.at)
    if isinstance(told, Rejection):
        return told
    return (told or ListingUnchanged(product.id),)


@decides(ChangeVariant)
def _change_variant(shop: Shop, command: ChangeVariant, context: Context) -> Decision:
    product = shop.of(Product).get(command.product_id)
    if product is None:
        return _not_found(command.product_id)
    if (conflict := _version_conflict(product, command.version)) is not None:
        return conflict
    variant = shop.of(Variant).get(command.sku)
    if variant is None or variant.product_id != product.id:
        return Rejection("variant_not_found", "The product has no such variant.", {"sku": command.sku})
    said = _fields(VariantFields, variant) | command.changes
    merged = {**variant.attributes, **command.changes.get("attributes", {})}
    said["attributes"] = {name: value for name, value in merged.items() if value is not None}
    if len(said["attributes"]) > VARIANT_MAX_ATTRIBUTES:
        return Rejection("too_many_attributes", f"A variant may have at most {VARIANT_MAX_ATTRIBUTES} attributes.")
    fields = msgspec.convert([*said.values()], VariantFields)
    told = _variant_put(shop, product.id, fields, product.status, context.at)
    if isinstance(told, Rejection):
        return told
    return (told or ListingUnchanged(product.id),)


@decides(PutListing)
def _put(shop: Shop, command: PutListing, context: Context) -> Decision:
    """Events about new things come first, so that the first one shows whether a row created anything."""
    events: list[Event] = []
    product_id = command.product_id
    product = shop.of(Product).get(product_id)
    said = command.product and _with_kept(command.product, product, command.kept)
    if said is not None:
        refused = _refused(shop, product, said)
        if refused is not None:
            return refused
        if product is None:
            events.append(ProductCreated(product_id=product_id, **_fields(ProductFields, said)))
        elif (changed := _product_changed(product, said)) is not None:
            events.append(changed)
    elif product is None:
        return _not_found(product_id)
    status = said.status if said is not None else product.status if product else DRAFT
    fields = command.variant and _with_kept(command.variant, shop.of(Variant).get(command.variant.sku), command.kept)
    if fields is not None:
        told = _variant_put(shop, product_id, fields, status, context.at)
        if isinstance(told, Rejection):
            return told
        if isinstance(told, VariantAdded) and product is not None:
            events.insert(0, told)
        elif told is not None:
            events.append(told)
        if command.on_hand is not None:
            stock = shop.balance(STOCK, fields.sku)
            if change := command.on_hand - stock.posted:
                if fields.sku in shop.offers and (short := moved(shop, fields.sku, change)) is not None:
                    return short
                events.append(StockAdjusted(fields.sku, change, COUNTED))
    return events or (ListingUnchanged(product_id),)


def _fields(kind: type[ProductFields] | type[VariantFields], source: msgspec.Struct) -> dict[str, Any]:
    """The fields of `kind`, by name, from an entity, event or command, which all use the same names."""
    return {name: getattr(source, name) for name in kind.__struct_fields__}


def _with_kept(said: _Fields, there: Product | Variant | None, kept: Collection[str]) -> _Fields:
    """The given fields, with those in `kept` taken from the existing product or variant, if there is one."""
    if there is None or not kept:
        return said
    return msgspec.structs.replace(
        said, **{name: getattr(there, name) for name in said.__struct_fields__ if name in kept}
    )


def _refused(shop: Shop, product: Product | None, fields: ProductFields) -> Rejection | None:
    """Why a product, existing or new, cannot have these fields, or None. It may keep what it has."""
    keeps_slug = product is not None and fields.slug == product.slug
    if not keeps_slug and fields.slug in owners_of_slugs(shop, shop.of(Product)):
        return Rejection("slug_taken", "Another product has this slug.", {"slug": fields.slug})
    if product is not None and fields.category_id == product.category_id:
        return None
    if fields.category_id is not None and fields.category_id not in shop.of(Category):
        return Rejection("unknown_category", "There is no such category.", {"category_id": str(fields.category_id)})
    return None


def _product_changed(product: Product, fields: ProductFields) -> ProductChanged | None:
    """The event of giving the product these fields; None if it has them already."""
    said = _fields(ProductFields, fields)
    return ProductChanged(product_id=product.id, **said) if said != _fields(ProductFields, product) else None


def _variant_put(
    shop: Shop, product_id: UUID, fields: VariantFields, product_status: str, at: datetime
) -> VariantAdded | VariantChanged | Rejection | None:
    """The event of giving a variant of the product these fields, or a rejection; None if it has them already."""
    variants = shop.of(Variant)
    variant = variants.get(fields.sku)
    if variant is None:
        if len(skus_of_products(shop, variants).get(product_id, ())) >= PRODUCT_MAX_VARIANTS:
            return Rejection("too_many_variants", f"A product may have at most {PRODUCT_MAX_VARIANTS} variants.")
        return _variant_event(VariantAdded, product_id, fields, product_status, at)
    if variant.product_id != product_id:
        return _sku_taken(fields.sku)
    if fields.kind != variant.kind and GIFT_CARD in (fields.kind, variant.kind):
        # Gift cards are issued when an order is fulfilled, so a SKU must still be what it was when it was paid for.
        detail = "A variant cannot become a gift card or stop being one: add another variant."
        return Rejection("variant_kind_fixed", detail, {"sku": fields.sku})
    changed = _variant_event(VariantChanged, product_id, fields, product_status, None)
    known = _variant_event(VariantChanged, product_id, variant, product_status, None)
    if changed == known:
        return None
    costs = fields.price_minor, fields.currency, fields.compare_at_minor
    if costs == (variant.price_minor, variant.currency, variant.compare_at_minor):
        return changed
    return msgspec.structs.replace(changed, priced_at=at)


def _sku_taken(sku: str) -> Rejection:
    return Rejection("sku_taken", "Another product has this SKU.", {"sku": sku})


def _not_found(product_id: UUID) -> Rejection:
    return Rejection("product_not_found", "There is no such product.", {"product_id": str(product_id)})


def _version_conflict(product: Product, version: int | None) -> Rejection | None:
    if version is None or version == product.version:
        return None
    return Rejection(
        "version_conflict",
        "It has changed since you read it: read it again.",
        {"version": product.version, "expected_version": version},
    )


def _variant_event(
    kind: type[VariantAdded] | type[VariantChanged],
    product_id: UUID,
    said: VariantFields | Variant,
    product_status: str,
    priced_at: datetime | None,
) -> VariantAdded | VariantChanged:
    said_of_it = _fields(VariantFields, said)
    return kind(product_id=product_id, product_status=product_status, priced_at=priced_at, **said_of_it)


@evolves(ProductCreated)
def _created(shop: Shop, event: ProductCreated) -> None:
    products = shop.of(Product)
    owners = owners_of_slugs(shop, products)
    products[event.product_id] = Product(id=event.product_id, version=1, **_fields(ProductFields, event))
    owners[event.slug] = event.product_id


@evolves(ProductChanged)
def _changed(shop: Shop, event: ProductChanged) -> None:
    products, variants = shop.of(Product), shop.of(Variant)
    owners = owners_of_slugs(shop, products)
    before = products.get(event.product_id)
    version = before.version + 1 if before else 1
    products[event.product_id] = Product(id=event.product_id, version=version, **_fields(ProductFields, event))
    if before is not None:
        owners.pop(before.slug, None)
    owners[event.slug] = event.product_id
    if before is None or before.status != event.status:
        for sku in skus_of_products(shop, variants).get(event.product_id, ()):
            _keep(shop, msgspec.structs.replace(variants[sku], on_sale=variants[sku].active and event.status == ACTIVE))


@evolves(VariantAdded)
@evolves(VariantChanged)
def _variant(shop: Shop, event: VariantAdded | VariantChanged) -> None:
    product = shop.of(Product).get(event.product_id)
    if product is not None:
        shop.of(Product)[product.id] = msgspec.structs.replace(product, version=product.version + 1)
    on_sale = event.active and event.product_status == ACTIVE
    known = shop.of(Variant).get(event.sku)
    variant = Variant(product_id=event.product_id, on_sale=on_sale, **_fields(VariantFields, event))
    history = () if known is None else known.price_history
    if event.priced_at is not None:
        before = None if known is None else known.priced(event.priced_at)
        history = history_of(history, before, variant.priced(event.priced_at))
    _keep(shop, msgspec.structs.replace(variant, price_history=history))


def _keep(shop: Shop, variant: Variant) -> None:
    variants = shop.of(Variant)
    skus = skus_of_products(shop, variants)
    variants[variant.sku] = variant
    skus.add(variant.product_id, variant.sku)
    shop.offers[variant.sku] = _offer_of(variant, shop.offers.get(variant.sku))


def _offer_of(variant: Variant, known: Offer | None) -> Offer:
    """The current offer of the variant. Checkouts of the same batch are quoted on it, so it keeps what the variant
    itself does not have, such as its other prices."""
    return Offer(
        variant.sku,
        variant.price_minor,
        variant.currency,
        variant.on_sale,
        () if known is None else known.prices,
        variant.product_id,
        () if known is None else known.category_ids,
        variant.tax_class,
        variant.weight_grams or 0,
        variant.kind == DIGITAL,
        variant.kind == GIFT_CARD,
    )


@evolves(ListingUnchanged)
def _unchanged(shop: Shop, event: ListingUnchanged) -> None:
    pass
