"""Articles: products with one variant, as used by loaders (demo, replay, tests), and the commands that create them."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID, uuid5

import msgspec

from domain.catalogue import ACTIVE, ProductFields, PutListing, VariantFields

# The id of an article's product is derived from its SKU, so that loading it twice creates it once.
_ARTICLES: Final = UUID("6f0f4d1e-7f57-5d0c-9a4b-0c6f9d3a7e11")
_NO_SLUG = re.compile(r"[^a-z0-9]+")


class Article(msgspec.Struct, frozen=True, gc=False):
    """A SKU for sale. `price_minor` is in minor units of `currency` (ISO 4217), per piece."""

    sku: str
    name: str
    price_minor: int
    currency: str


def listing(article: Article, on_hand: int | None = None) -> PutListing:
    """The command that puts the article on sale and, if given, sets its stock to `on_hand`."""
    product = ProductFields(slug=slug_of(article.sku), name=article.name.ljust(2, "."), status=ACTIVE)
    variant = VariantFields(article.sku, article.price_minor, article.currency)
    return PutListing(uuid5(_ARTICLES, article.sku), product, variant, on_hand)


def slug_of(sku: str) -> str:
    """A slug made from a SKU."""
    return _NO_SLUG.sub("-", sku.lower()).strip("-")
