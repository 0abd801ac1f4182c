"""What the catalogue's commands are decided on. Its entities are written whole (see `runtime/entities.py`)."""

from domain.catalogue import ChangeProduct, ChangeVariant, CreateProduct, Product, PutListing, SetVariant, Variant
from domain.categories import Category, ChangeCategory, CreateCategory
from domain.stock import STOCK
from workers.handlers import reads
from workers.loading import ReadSet


@reads(CreateCategory)
@reads(ChangeCategory)
def _category(command: CreateCategory | ChangeCategory, into: ReadSet) -> None:
    into.add_all(Category)


@reads(CreateProduct)
def _create(command: CreateProduct, into: ReadSet) -> None:
    into.add(Product, command.product.slug, by="slug")
    if command.product.category_id is not None:
        into.add(Category, command.product.category_id)
    into.skus.update(variant.sku for variant in command.variants)


@reads(ChangeProduct)
def _change(command: ChangeProduct, into: ReadSet) -> None:
    into.add(Product, command.product_id)
    into.add(Variant, command.product_id, by="product_id")
    if isinstance(slug := command.changes.get("slug"), str):
        into.add(Product, slug, by="slug")
    if (category_id := command.category_id()) is not None:
        into.add(Category, category_id)


@reads(SetVariant)
def _set_variant(command: SetVariant, into: ReadSet) -> None:
    into.add(Product, command.product_id)
    into.add(Variant, command.product_id, by="product_id")
    into.add(Variant, command.variant.sku)


@reads(ChangeVariant)
def _change_variant(command: ChangeVariant, into: ReadSet) -> None:
    into.add(Product, command.product_id)
    into.add(Variant, command.product_id, by="product_id")
    into.add(Variant, command.sku)


@reads(PutListing)
def _put(command: PutListing, into: ReadSet) -> None:
    into.add(Product, command.product_id)
    into.add(Variant, command.product_id, by="product_id")
    if command.product is not None:
        into.add(Product, command.product.slug, by="slug")
        if command.product.category_id is not None:
            into.add(Category, command.product.category_id)
    if command.variant is not None:
        into.add(Variant, command.variant.sku)
        into.skus.add(command.variant.sku)
        if command.on_hand is not None:
            into.add_balance(STOCK, command.variant.sku, exact=True)
