"""The shape of a ledger's table: a key and the two numbers of its balance, with a constraint against overdrawing."""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Table, Text

from runtime.tables.base import metadata

KEY: Final = "key"
POSTED: Final = "posted"
PENDING: Final = "pending"

FILLFACTOR_PERCENT: Final = 50
"""Balances change in place: with room on the page, an update touches no index."""


def ledger_table(name: str) -> Table:
    """The table of a ledger, with the standard column names."""
    return Table(
        name,
        metadata,
        Column(KEY, Text, primary_key=True),
        Column(POSTED, BigInteger, nullable=False, server_default="0"),
        Column(PENDING, BigInteger, nullable=False, server_default="0"),
        CheckConstraint(f"0 <= {PENDING} AND {PENDING} <= {POSTED}", name=f"{name}_never_overdrawn"),
    )


def create_ledger_table(name: str) -> str:
    """The statement that creates it. Applied migrations have used it as it is: never change it, add another."""
    return f"""
        CREATE TABLE {name} (
            {KEY} text PRIMARY KEY,
            {POSTED} bigint NOT NULL DEFAULT 0,
            {PENDING} bigint NOT NULL DEFAULT 0,
            CONSTRAINT {name}_never_overdrawn CHECK (0 <= {PENDING} AND {PENDING} <= {POSTED})
        ) WITH (fillfactor = {FILLFACTOR_PERCENT}, autovacuum_vacuum_scale_factor = 0.05,
            autovacuum_vacuum_cost_delay = 0)
    """
