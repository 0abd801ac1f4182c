"""The catalogue: products and their variants. A variant is a SKU, with its price; it is on sale while both are active.

What staff may say of them, and what happens then, in words; the rules are in `domain/catalogue_rules.py`.
"""

from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import msgspec

from domain.fields.catalogue import SKU, SLUG, STATUS
from domain.ids import slot_of_id
from domain.limits import (
    ATTRIBUTE_MAX_CHARS,
    BARCODE_MAX_CHARS,
    DESCRIPTION_MAX_CHARS,
    NAME_MAX_CHARS,
    NAME_MIN_CHARS,
    PRICE_MAX_MINOR,
    PRODUCT_MAX_VARIANTS,
    STOCK_MAX_ON_HAND,
    VARIANT_MAX_ATTRIBUTES,
    WEIGHT_MAX_GRAMS,
    is_text,
)
from domain.model import Command, Entity, Event
from domain.money import CURRENCIES

DRAFT: Final = "draft"
ACTIVE: Final = "active"
ARCHIVED: Final = "archived"
PRODUCT_STATUSES: Final = (DRAFT, ACTIVE, ARCHIVED)
assert tuple(STATUS.words) == PRODUCT_STATUSES, "the field says which there are"


class Product(Entity, frozen=True):
    """A product as it stands. `version` counts its changes, those of its variants among them."""

    id: UUID
    slug: str
    name: str
    description: str
    category_id: UUID | None
    status: str
    version: int

    def slot(self) -> int:
        return slot_of_id(self.id)


class Variant(Entity, frozen=True):
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

    def slot(self) -> int:
        return slot_of_id(self.product_id)


_Price = Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX_MINOR)]
_Word = Annotated[str, msgspec.Meta(max_length=ATTRIBUTE_MAX_CHARS)]


class ProductFields(msgspec.Struct, frozen=True, array_like=True):
    """What staff say of a product."""

    slug: str
    name: Annotated[str, msgspec.Meta(min_length=NAME_MIN_CHARS, max_length=NAME_MAX_CHARS)]
    description: Annotated[str, msgspec.Meta(max_length=DESCRIPTION_MAX_CHARS)] = ""
    category_id: UUID | None = None
    status: str = DRAFT

    def __post_init__(self) -> None:
        if not SLUG.keeps(self.slug):
            raise ValueError(f"{self.slug!r} is no slug")
        if self.status not in PRODUCT_STATUSES:
            raise ValueError(f"{self.status!r} is no status of a product")
        if not (is_text(self.name) and is_text(self.description)):
            raise ValueError("a control character is no text")


class VariantFields(msgspec.Struct, frozen=True, array_like=True):
    """What staff say of a variant."""

    sku: str
    price_minor: _Price
    currency: str
    title: Annotated[str, msgspec.Meta(max_length=NAME_MAX_CHARS)] = ""
    compare_at_minor: _Price | None = None
    weight_grams: Annotated[int, msgspec.Meta(ge=0, le=WEIGHT_MAX_GRAMS)] | None = None
    barcode: Annotated[str, msgspec.Meta(min_length=1, max_length=BARCODE_MAX_CHARS)] | None = None
    attributes: Annotated[dict[_Word, _Word], msgspec.Meta(max_length=VARIANT_MAX_ATTRIBUTES)] = {}
    active: bool = True

    def __post_init__(self) -> None:
        if not SKU.keeps(self.sku):
            raise ValueError(f"{self.sku!r} is no SKU")
        if self.currency not in CURRENCIES:
            raise ValueError(f"{self.currency!r} is no currency")
        if not all(
            is_text(text) for text in (self.title, self.barcode or "", *self.attributes, *self.attributes.values())
        ):
            raise ValueError("a control character is no text")


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


class ChangeVariant(Command, frozen=True):
    """`changes` are fields of VariantFields by name; those of `attributes` are merged into the ones that are there, and
    null takes one away (RFC 7396). With `version`, only if the product still has that one."""

    product_id: UUID
    sku: str
    changes: dict[str, Any]
    version: int | None = None

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class PutListing(Command, frozen=True):
    """One row of an import: the product as it is to be, one of its variants, and how many pieces of it were counted;
    each may be left out. What already is so is left as it is. Of a product or variant that is there, the fields named
    in `kept` stay whatever they are: the row does not speak of them."""

    product_id: UUID
    product: ProductFields | None = None
    variant: VariantFields | None = None
    on_hand: Annotated[int, msgspec.Meta(ge=0, le=STOCK_MAX_ON_HAND)] | None = None
    kept: tuple[str, ...] = ()

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
    """`product_status` is the product's at this moment: with `active` it says whether the variant is on sale."""

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
    product_status: str

    def subject(self) -> str:
        return str(self.product_id)


class VariantChanged(Event, frozen=True):
    """The variant as it is now; `product_status` as in VariantAdded."""

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
    product_status: str

    def subject(self) -> str:
        return str(self.product_id)


class ListingUnchanged(Event, frozen=True):
    """What was said of the product was so already."""

    type: ClassVar[str] = "product.unchanged"
    product_id: UUID

    def subject(self) -> str:
        return str(self.product_id)
