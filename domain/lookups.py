"""Indexes over the states that a batch has loaded: the product with a slug, and the SKUs of a product.

Without them a rule would scan all loaded states for every command of a batch. They are built on first use, and the
rules that change states keep them up to date; if states were loaded since, their number differs, and the index is
rebuilt. Products are never removed, and variants never move to another product.
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
    """The key of the state with a slug."""


class SkusOfProducts(dict[UUID, dict[str, None]]):
    """The SKUs of each product, in the order in which they were added."""

    count = 0

    def add(self, product_id: UUID, sku: str) -> None:
        """Adds a SKU, if it is not there already."""
        skus = self.setdefault(product_id, {})
        self.count += sku not in skus
        skus[sku] = None


def owners_of_slugs(shop: Shop, states: Mapping[Any, _HasSlug]) -> OwnersOfSlugs:
    """The owner of each slug among the states."""
    owners = shop.others.get(OwnersOfSlugs)
    if not isinstance(owners, OwnersOfSlugs) or len(owners) != len(states):
        owners = shop.others[OwnersOfSlugs] = OwnersOfSlugs({state.slug: key for key, state in states.items()})
    return owners


def skus_of_products(shop: Shop, variants: Mapping[str, _OfProduct]) -> SkusOfProducts:
    """The SKUs of each product among the variants."""
    skus = shop.others.get(SkusOfProducts)
    if not isinstance(skus, SkusOfProducts) or skus.count != len(variants):
        skus = shop.others[SkusOfProducts] = SkusOfProducts()
        for sku, variant in variants.items():
            skus.add(variant.product_id, sku)
    return skus
