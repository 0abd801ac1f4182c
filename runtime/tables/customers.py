"""The table of customers' groups, tax ids and exemptions; its columns are the fields of the state in
`domain/customers.py`."""

from sqlalchemy import ARRAY, Boolean, Column, ForeignKey, Table, Text, Uuid

from runtime.tables.base import metadata, when

customers = Table(
    "customers",
    metadata,
    Column("id", Uuid, ForeignKey("accounts.id", name="customers_id_fkey"), primary_key=True),
    Column("groups", ARRAY(Text), nullable=False),
    Column("tax_id", Text),
    Column("tax_exempt", Boolean, nullable=False),
    when("created_at"),
    when("updated_at"),
)
