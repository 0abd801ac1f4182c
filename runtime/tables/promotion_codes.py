"""The table of codes for promotions, which has the columns of the state in `domain/promotion_codes.py`; and the ledger
of what was taken from what is limited."""

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
