"""The checkouts' table, which has the columns of the state in `domain/checkouts.py`."""

from sqlalchemy import Boolean, Column, Index, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from runtime.tables.base import metadata, when

checkouts = Table(
    "checkouts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("currency", Text),
    Column("lines", JSONB, nullable=False),
    Column("email", Text),
    Column("address", Text),
    Column("billing_address", Text),
    Column("method_id", Uuid),
    Column("codes", ARRAY(Text), nullable=False),
    Column("note", Text),
    Column("order_id", Uuid),
    Column("quote", JSONB),
    Column("version", Integer, nullable=False),
    Column("gift_cards", ARRAY(Uuid), nullable=False, server_default="{}"),
    Column("store_credit", Boolean, nullable=False, server_default="false"),
    Column("tax_question", Text),
    Column("tax_asks", Integer, nullable=False, server_default="0"),
    Column("tax_answer", JSONB),
    Column("rate_question", Text),
    Column("rate_asks", Integer, nullable=False, server_default="0"),
    Column("rate_answer", JSONB),
    when("created_at"),
    when("updated_at"),
    Index(None, "customer_id"),
    # One order per checkout, and one checkout per order.
    Index("checkouts_order_id_key", "order_id", unique=True, postgresql_where="order_id IS NOT NULL"),
    Index("checkouts_open", "updated_at", postgresql_where="status = 'open'"),
    Index("checkouts_email", "email", postgresql_where="email IS NOT NULL"),
)
