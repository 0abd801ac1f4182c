"""The table of each ledger, with a row for every key. One mechanism loads, writes and verifies all of them.

A new ledger is a line here and a table from `ledger_table` (see `docs/extending.md`); stock has names of its own.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Table

from domain.allowances import ALLOWANCES
from domain.cards import CARDS
from domain.ledgers import Ledger
from domain.stock import STOCK
from runtime import tables
from runtime.tables import ledgers


class LedgerTable(NamedTuple):
    """A ledger, its table, and the columns that hold the key and the two numbers of a balance."""

    ledger: Ledger
    table: Table
    key: str = ledgers.KEY
    posted: str = ledgers.POSTED
    pending: str = ledgers.PENDING


LEDGERS: Final[tuple[LedgerTable, ...]] = (
    # Batches write the ledgers in this order.
    LedgerTable(STOCK, tables.stock, "sku", "on_hand", "reserved"),
    LedgerTable(ALLOWANCES, tables.allowances),
    LedgerTable(CARDS, tables.card_balances),
)
