"""Look-ups beside the states that a batch holds: which product has a slug, and which SKUs are a product's.

Without them a rule would look through all that is loaded, for every command of a batch. They are made when first
asked for and kept by whoever changes the states; states that were loaded meanwhile show by their number. No product
is ever removed, and no variant moves to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from domain.model import Shop


class _HasSlug(Protocol):
    @property
    def slug(self) -> str: ...


class _OfProduct(Protocol):
    @property
    def product_id(self) -> UUID: ...


class OwnersOfSlugs(dict[str, Any]):
    """The key of the state that has a slug."""


class SkusOfProducts(dict[UUID, dict[str, None]]):
    """The SKUs of each product, in the order in which they were added."""

    count = 0

    def add(self, product_id: UUID, sku: str) -> None:
        """Notes a SKU; once more changes nothing."""
        skus = self.setdefault(product_id, {})
        self.count += sku not in skus
        skus[sku] = None


def owners_of_slugs(shop: Shop, states: Mapping[Any, _HasSlug]) -> OwnersOfSlugs:
    """Who has which slug among the states."""
    owners = shop.others.get(OwnersOfSlugs)
    if not isinstance(owners, OwnersOfSlugs) or len(owners) != len(states):
        owners = shop.others[OwnersOfSlugs] = OwnersOfSlugs({state.slug: key for key, state in states.items()})
    return owners


def skus_of_products(shop: Shop, variants: Mapping[str, _OfProduct]) -> SkusOfProducts:
    """Which of the variants belong to which product."""
    skus = shop.others.get(SkusOfProducts)
    if not isinstance(skus, SkusOfProducts) or skus.count != len(variants):
        skus = shop.others[SkusOfProducts] = SkusOfProducts()
        for sku, variant in variants.items():
            skus.add(variant.product_id, sku)
    return skus
