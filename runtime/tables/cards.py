"""The table of gift cards, whose columns are the fields of the state in `domain/gift_cards.py`; and the ledger of the
balances of gift cards and store credit."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text, Uuid

from runtime.tables.base import metadata, when
from runtime.tables.ledgers import ledger_table

gift_cards = Table(
    "gift_cards",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("code_hash", Text, unique=True),
    Column("shown", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("initial_minor", BigInteger, nullable=False),
    Column("active", Boolean, nullable=False),
    when("expires_at", nullable=True),
    Column("order_id", Uuid),
    when("created_at"),
    when("updated_at"),
    Index("gift_cards_created", "created_at", "id"),
    Index("gift_cards_bought", "order_id", postgresql_where="order_id IS NOT NULL"),
)

card_balances = ledger_table("card_balances")
