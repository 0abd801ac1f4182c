"""The table of promotion codes, whose columns are the fields of the state in `domain/promotion_codes.py`; and the
ledger of how much of each limit has been used."""

from sqlalchemy import Column, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from runtime.tables.base import metadata, when
from runtime.tables.ledgers import ledger_table

promotion_codes = Table(
    "promotion_codes",
    metadata,
    Column("code", Text, primary_key=True),
    Column("says", JSONB, nullable=False),
    when("created_at"),
    when("updated_at"),
)

allowances = ledger_table("allowances")
