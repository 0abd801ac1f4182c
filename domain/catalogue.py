"""The catalogue: products and their variants. A variant is a SKU with a price, and is on sale while it and its product
are active.

Entities, commands and events only; the rules are in `domain/catalogue_rules.py`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import msgspec

from domain.fields.catalogue import KIND, SKU, SLUG, STATUS, TAX_CLASS
from domain.ids import slot_of_id
from domain.ledgers import Move
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
from domain.price_history import Priced
from domain.stock import STOCK

DRAFT: Final = "draft"
ACTIVE: Final = "active"
ARCHIVED: Final = "archived"
PRODUCT_STATUSES: Final = (DRAFT, ACTIVE, ARCHIVED)
STANDARD_CLASS: Final = "standard"
"""The default tax class."""
GOODS: Final = "goods"
DIGITAL: Final = "digital"
GIFT_CARD: Final = "gift_card"
VARIANT_KINDS: Final = (GOODS, DIGITAL, GIFT_CARD)
"""Goods need delivery, digital goods do not, and gift cards are a form of money."""

assert tuple(STATUS.words) == PRODUCT_STATUSES, "the field lists the same statuses"
assert tuple(KIND.words) == VARIANT_KINDS, "the field lists the same kinds"


class Product(Entity, frozen=True):
    """A product. `version` counts its changes, including those of its variants."""

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
    """A SKU of a product. Prices are per piece, in minor units of `currency` (ISO 4217); `compare_at_minor` is the
    price that it is shown as reduced from. `on_sale`: it and its product are active, so it can be ordered. `kind` is
    one of VARIANT_KINDS; `tax_class` is the class that tax rates name. `price_history` is what it cost over the last
    days, in the order of time."""

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
    kind: str = GOODS
    tax_class: str = STANDARD_CLASS
    price_history: tuple[Priced, ...] = ()

    def priced(self, at: datetime) -> Priced:
        """Its price, as the history would have it from a moment on."""
        return Priced(at, self.price_minor, self.currency, self.compare_at_minor)

    def slot(self) -> int:
        return slot_of_id(self.product_id)


_Price = Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX_MINOR)]
_Word = Annotated[str, msgspec.Meta(max_length=ATTRIBUTE_MAX_CHARS)]


class ProductFields(msgspec.Struct, frozen=True, array_like=True):
    """The fields of a product that staff set."""

    slug: str
    name: Annotated[str, msgspec.Meta(min_length=NAME_MIN_CHARS, max_length=NAME_MAX_CHARS)]
    description: Annotated[str, msgspec.Meta(max_length=DESCRIPTION_MAX_CHARS)] = ""
    category_id: UUID | None = None
    status: str = DRAFT

    def __post_init__(self) -> None:
        if not SLUG.keeps(self.slug):
            raise ValueError(f"{self.slug!r} is not a slug")
        if self.status not in PRODUCT_STATUSES:
            raise ValueError(f"{self.status!r} is not a product status")
        if not (is_text(self.name) and is_text(self.description)):
            raise ValueError("control characters are not allowed")


class VariantFields(msgspec.Struct, frozen=True, array_like=True):
    """The fields of a variant that staff set."""

    sku: str
    price_minor: _Price
    currency: str
    title: Annotated[str, msgspec.Meta(max_length=NAME_MAX_CHARS)] = ""
    compare_at_minor: _Price | None = None
    weight_grams: Annotated[int, msgspec.Meta(ge=0, le=WEIGHT_MAX_GRAMS)] | None = None
    barcode: Annotated[str, msgspec.Meta(min_length=1, max_length=BARCODE_MAX_CHARS)] | None = None
    attributes: Annotated[dict[_Word, _Word], msgspec.Meta(max_length=VARIANT_MAX_ATTRIBUTES)] = {}
    active: bool = True
    kind: str = GOODS
    tax_class: str = STANDARD_CLASS

    def __post_init__(self) -> None:
        if self.kind not in VARIANT_KINDS:
            raise ValueError(f"{self.kind!r} is not a kind of variant")
        if not TAX_CLASS.keeps(self.tax_class):
            raise ValueError(f"{self.tax_class!r} is not a tax class")
        if not SKU.keeps(self.sku):
            raise ValueError(f"{self.sku!r} is not a SKU")
        if self.currency not in CURRENCIES:
            raise ValueError(f"{self.currency!r} is not a currency")
        if not all(
            is_text(text) for text in (self.title, self.barcode or "", *self.attributes, *self.attributes.values())
        ):
            raise ValueError("control characters are not allowed")


class CreateProduct(Command, frozen=True):
    product_id: UUID
    product: ProductFields
    variants: Annotated[tuple[VariantFields, ...], msgspec.Meta(max_length=PRODUCT_MAX_VARIANTS)] = ()

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class ChangeProduct(Command, frozen=True):
    """`changes` maps names of ProductFields to values. With `version`, it applies only to that version of the
    product."""

    product_id: UUID
    changes: dict[str, Any]
    version: int | None = None

    def slot(self) -> int:
        return slot_of_id(self.product_id)

    def category_id(self) -> UUID | None:
        """The product's new category, if that changes."""
        category_id = self.changes.get("category_id")
        return UUID(category_id) if isinstance(category_id, str) else None


class SetVariant(Command, frozen=True):
    """Adds the variant, or replaces its fields."""

    product_id: UUID
    variant: VariantFields
    version: int | None = None

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class ChangeVariant(Command, frozen=True):
    """`changes` maps names of VariantFields to values; `attributes` are merged into the existing ones, and null removes
    one (RFC 7396). With `version`, it applies only to that version of the product."""

    product_id: UUID
    sku: str
    changes: dict[str, Any]
    version: int | None = None

    def slot(self) -> int:
        return slot_of_id(self.product_id)


class PutListing(Command, frozen=True):
    """One row of an import: a product, one of its variants and how many pieces of it were counted, each optional. Only
    differences are applied. The fields named in `kept`, on which the row is silent, stay as they are in an existing
    product or variant."""

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
    """The product after the change."""

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
    """`product_status` is the product's status at this moment, which with `active` decides whether it is on sale.
    `priced_at` is when it was priced so."""

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
    kind: str = GOODS
    tax_class: str = STANDARD_CLASS
    priced_at: datetime | None = None

    def subject(self) -> str:
        return str(self.product_id)

    def moves(self) -> Iterable[Move]:
        return ((STOCK, self.sku, 0, 0),)


class VariantChanged(Event, frozen=True):
    """The variant after the change; `product_status` and `priced_at` as in VariantAdded, the latter null if the price
    is as it was."""

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
    kind: str = GOODS
    tax_class: str = STANDARD_CLASS
    priced_at: datetime | None = None

    def subject(self) -> str:
        return str(self.product_id)


class ListingUnchanged(Event, frozen=True):
    """The row changed nothing."""

    type: ClassVar[str] = "product.unchanged"
    product_id: UUID

    def subject(self) -> str:
        return str(self.product_id)
