"""Where the balances of each ledger stand: a table whose rows are its keys. One mechanism loads, writes and proves all.

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
    # A batch writes them in this order.
    LedgerTable(STOCK, tables.stock, "sku", "on_hand", "reserved"),
    LedgerTable(ALLOWANCES, tables.allowances),
    LedgerTable(CARDS, tables.card_balances),
)
