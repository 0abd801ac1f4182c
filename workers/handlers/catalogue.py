"""What the catalogue's commands are decided on. What they change is written as it is (see `runtime/nouns.py`)."""

from domain.catalogue import ChangeProduct, ChangeVariant, CreateProduct, Product, PutListing, SetVariant, Variant
from domain.categories import Category, ChangeCategory, CreateCategory
from workers.handlers import needs
from workers.rows import Needs


@needs(CreateCategory)
@needs(ChangeCategory)
def _category(command: CreateCategory | ChangeCategory, into: Needs) -> None:
    into.need_all(Category)


@needs(CreateProduct)
def _create(command: CreateProduct, into: Needs) -> None:
    into.need(Product, command.product.slug, by="slug")
    if command.product.category_id is not None:
        into.need(Category, command.product.category_id)
    into.skus.update(variant.sku for variant in command.variants)


@needs(ChangeProduct)
def _change(command: ChangeProduct, into: Needs) -> None:
    into.need(Product, command.product_id)
    into.need(Variant, command.product_id, by="product_id")
    if isinstance(slug := command.changes.get("slug"), str):
        into.need(Product, slug, by="slug")
    if (category_id := command.category_id()) is not None:
        into.need(Category, category_id)


@needs(SetVariant)
def _set_variant(command: SetVariant, into: Needs) -> None:
    into.need(Product, command.product_id)
    into.need(Variant, command.product_id, by="product_id")
    into.need(Variant, command.variant.sku)


@needs(ChangeVariant)
def _change_variant(command: ChangeVariant, into: Needs) -> None:
    into.need(Product, command.product_id)
    into.need(Variant, command.product_id, by="product_id")
    into.need(Variant, command.sku)


@needs(PutListing)
def _put(command: PutListing, into: Needs) -> None:
    into.need(Product, command.product_id)
    into.need(Variant, command.product_id, by="product_id")
    if command.product is not None:
        into.need(Product, command.product.slug, by="slug")
        if command.product.category_id is not None:
            into.need(Category, command.product.category_id)
    if command.variant is not None:
        into.need(Variant, command.variant.sku)
        into.skus.add(command.variant.sku)
        if command.on_hand is not None:
            into.counted.add(command.variant.sku)
