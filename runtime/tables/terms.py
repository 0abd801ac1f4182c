"""The table of the shop's terms, which has the columns of the state in `domain/terms.py`."""

from sqlalchemy import Column, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from runtime.tables.base import metadata, when

terms = Table(
    "terms",
    metadata,
    Column("name", Text, primary_key=True),
    Column("taxes", JSONB),
    Column("method", JSONB),
    Column("promotion", JSONB),
    Column("price_list", JSONB),
    Column("purchase_limit", JSONB),
    Column("version", Integer, nullable=False),
    when("created_at"),
    when("updated_at"),
)
