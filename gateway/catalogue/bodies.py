"""The request bodies for products, variants and categories, and their conversion to the domain's fields. They reject
every value that the domain would reject, and say where; whatever depends on the rest of the catalogue (a slug that is
taken, a missing category) is decided in the mailbox.
"""

from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from domain.catalogue import DRAFT, GOODS, STANDARD_CLASS, ProductFields, VariantFields
from domain.categories import CategoryFields
from domain.limits import PRODUCT_MAX_VARIANTS, VARIANT_MAX_ATTRIBUTES
from domain.slugs import slug_from
from gateway.web.fields import (
    Attribute,
    Barcode,
    Currency,
    Description,
    Name,
    Position,
    Price,
    ProductStatus,
    Sku,
    Slug,
    TaxClass,
    Title,
    VariantKind,
    Weight,
)
from gateway.web.requests import Body

_VARIANT: dict[str, Any] = {
    "price_minor": 1250,
    "currency": "GBP",
    "title": "Blue",
    "compare_at_minor": 1500,
    "weight_grams": 340,
    "barcode": "5012345678900",
    "attributes": {"colour": "blue"},
}


class VariantBody(Body):
    """A complete variant. Prices are per piece, in the minor units of `currency` (ISO 4217)."""

    model_config = ConfigDict(json_schema_extra={"examples": [_VARIANT]})

    price_minor: Price = Field(examples=[1250])
    currency: Currency = Field(examples=["GBP"])
    title: Title = ""
    compare_at_minor: Price | None = None
    weight_grams: Weight | None = None
    barcode: Barcode | None = None
    attributes: Annotated[dict[Attribute, Attribute], Field(max_length=VARIANT_MAX_ATTRIBUTES)] = Field({})
    active: bool = True
    kind: VariantKind = GOODS
    tax_class: TaxClass = STANDARD_CLASS

    def fields(self, sku: str) -> VariantFields:
        """What the domain knows it as."""
        return VariantFields(
            sku,
            self.price_minor,
            self.currency,
            self.title,
            self.compare_at_minor,
            self.weight_grams,
            self.barcode,
            self.attributes,
            self.active,
            self.kind,
            self.tax_class,
        )


class NewVariantBody(VariantBody):
    """A variant of a new product, with its SKU."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"sku": "MUG-BLUE", **_VARIANT}]})

    sku: Sku = Field(examples=["MUG-BLUE"])


class VariantChangeBody(Body):
    """Changes to a variant, as a JSON Merge Patch (RFC 7396). Fields that are left out stay as they are. Null removes
    what is optional: `compare_at_minor`, `weight_grams`, `barcode`, and single attributes; other fields ignore it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"price_minor": 1150, "attributes": {"size": "L"}}]})

    price_minor: Price | None = None
    currency: Currency | None = None
    title: Title | None = None
    compare_at_minor: Price | None = None
    weight_grams: Weight | None = None
    barcode: Barcode | None = None
    attributes: Annotated[dict[Attribute, Attribute | None], Field(max_length=VARIANT_MAX_ATTRIBUTES)] | None = None
    active: bool | None = None
    kind: VariantKind | None = None
    tax_class: TaxClass | None = None

    def changes(self) -> dict[str, Any]:
        """The fields that change, by name."""
        return _changes(self, "compare_at_minor", "weight_grams", "barcode")


class ProductBody(Body):
    """A new product. Without a slug, one is made from its name."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "Enamel mug", "status": "active", "variants": [{"sku": "MUG-BLUE", **_VARIANT}]}]
        }
    )

    name: Name = Field(examples=["Enamel mug"])
    slug: Slug | None = None
    description: Description = ""
    category_id: UUID | None = None
    status: ProductStatus = DRAFT
    variants: Annotated[list[NewVariantBody], Field(max_length=PRODUCT_MAX_VARIANTS)] = Field([])

    @model_validator(mode="after")
    def _each_sku_once(self) -> Self:
        if len({variant.sku for variant in self.variants}) < len(self.variants):
            raise ValueError("Several variants have the same SKU.")
        return self

    def fields(self, product_id: UUID) -> ProductFields:
        """What the domain knows it as."""
        slug = self.slug or slug_from(self.name) or str(product_id)
        return ProductFields(slug, self.name, self.description, self.category_id, self.status)

    def variant_fields(self) -> tuple[VariantFields, ...]:
        """Its variants in the domain's form."""
        return tuple(variant.fields(variant.sku) for variant in self.variants)


class ProductChangeBody(Body):
    """Changes to a product. Fields that are left out, or null, stay as they are; but a null `category_id` takes the
    product out of its category."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "active"}]})

    name: Name | None = None
    slug: Slug | None = None
    description: Description | None = None
    category_id: UUID | None = None
    status: ProductStatus | None = None

    def changes(self) -> dict[str, Any]:
        """The fields that change, by name."""
        return _changes(self, "category_id")


class CategoryBody(Body):
    """A new category, below another or at the top. Without a slug, one is made from its name; `position` sorts it among
    its siblings."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Kitchen", "position": 1}]})

    name: Name = Field(examples=["Kitchen"])
    slug: Slug | None = None
    parent_id: UUID | None = None
    position: Position = 0

    def fields(self, category_id: UUID) -> CategoryFields:
        """What the domain knows it as."""
        slug = self.slug or slug_from(self.name) or str(category_id)
        return CategoryFields(slug, self.name, self.parent_id, self.position)


class CategoryChangeBody(Body):
    """Changes to a category. Fields that are left out, or null, stay as they are; but a null `parent_id` moves the
    category to the top."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Kitchen and table"}]})

    name: Name | None = None
    slug: Slug | None = None
    parent_id: UUID | None = None
    position: Position | None = None

    def changes(self) -> dict[str, Any]:
        """The fields that change, by name."""
        return _changes(self, "parent_id")


def _changes(body: Body, *may_be_null: str) -> dict[str, Any]:
    said = body.model_dump(mode="json", exclude_unset=True)
    return {name: value for name, value in said.items() if value is not None or name in may_be_null}
