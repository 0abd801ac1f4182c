"""The catalogue's tables: categories (a tree), products, and their variants, each of which is a SKU.

Columns are named as the fields of the states in `domain/catalogue.py`; `runtime/entities.py` carries one to the other.
The searched text is not a field of any state: `runtime/searched.py` makes it, and Postgres indexes it.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

from runtime.tables.base import metadata, when

categories = Table(
    "categories",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("parent_id", Uuid, ForeignKey("categories.id", name="categories_parent_id_fkey")),
    Column("position", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    when("created_at"),
    when("updated_at"),
)

# A word in the name weighs more than one in the description.
_SEARCHED = (
    "setweight(to_tsvector('english', name_words), 'A') || setweight(to_tsvector('english', description_words), 'D')"
)

# New index entries wait in a list that every search reads to its end: it is kept short (KiB).
_GIN: dict[str, Any] = {"postgresql_using": "gin", "postgresql_with": {"gin_pending_list_limit": "256"}}

products = Table(
    "products",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("slug", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("category_id", Uuid, ForeignKey("categories.id", name="products_category_id_fkey")),
    Column("status", Text, nullable=False),
    Column("version", Integer, nullable=False),
    when("created_at"),
    when("updated_at"),
    Column("name_order", Text(collation="C"), nullable=False, server_default=""),
    Column("name_alike", Text, nullable=False, server_default=""),
    Column("name_words", Text, nullable=False, server_default=""),
    Column("description_words", Text, nullable=False, server_default=""),
    Column("search", TSVECTOR, Computed(_SEARCHED, persisted=True)),
    Index("products_search", "search", **_GIN),
    Index("products_name_trigrams", "name_alike", postgresql_ops={"name_alike": "gin_trgm_ops"}, **_GIN),
    # The orders in which the catalogue is listed.
    Index("products_newest", "status", "created_at", "id"),
    Index("products_by_name", "status", "name_order", "id"),
    Index(None, "category_id"),
)

# `on_sale`: whether it can be ordered, because both it and its product are active. The hot path reads only this table.
variants = Table(
    "variants",
    metadata,
    Column("sku", Text, primary_key=True),
    Column("product_id", Uuid, ForeignKey("products.id", name="variants_product_id_fkey"), nullable=False),
    Column("title", Text, nullable=False),
    Column(
        "price_minor",
        BigInteger,
        CheckConstraint("price_minor >= 0", name="variants_price_not_negative"),
        nullable=False,
    ),
    Column("currency", Text, nullable=False),
    Column("compare_at_minor", BigInteger),
    Column("weight_grams", Integer),
    Column("barcode", Text),
    Column("attributes", JSONB, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("on_sale", Boolean, nullable=False),
    Column("kind", Text, nullable=False, server_default="goods"),
    Column("tax_class", Text, nullable=False, server_default="standard"),
    Column("price_history", JSONB, nullable=False, server_default="[]"),
    when("created_at"),
    when("updated_at"),
    Index(None, "product_id"),
    Index("variants_by_price", "price_minor", "product_id", postgresql_where="active"),
    Index("variants_barcode", "barcode", postgresql_where="barcode IS NOT NULL"),
)
