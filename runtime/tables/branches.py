"""The table of the log's branches: under which identity the log was written, and from which seq on (see
`runtime/branches.py`)."""

from sqlalchemy import BigInteger, Column, Integer, Table, Uuid

from runtime.tables.base import metadata, when

log_branches = Table(
    "log_branches",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("identity", Uuid, nullable=False, unique=True),
    Column("after_seq", BigInteger, nullable=False),
    when("begun_at"),
)
