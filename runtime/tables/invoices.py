"""The table of invoices and credit notes, which has the columns of the state in `domain/invoices.py`."""

from sqlalchemy import BigInteger, Column, Index, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from runtime.tables.base import metadata, when

invoices = Table(
    "invoices",
    metadata,
    Column("id", Text, primary_key=True),
    Column("order_id", Uuid, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("seller", JSONB, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("sums", JSONB, nullable=False),
    Column("taxes", JSONB, nullable=False),
    # Written once the batch has its places in the log, and so its numbers.
    Column("number", Text),
    when("created_at"),
    when("updated_at"),
    Index(None, "order_id"),
    Index("invoices_number", "number", unique=True),
)
