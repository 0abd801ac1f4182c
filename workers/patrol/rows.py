"""Reads rows by their keys and compares them with the fold; None stands for a key that the log does not have. While
there is more to fold, a row that has changed since is `ahead` and left to a later round.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import asyncpg

from domain.ledgers import Balance
from runtime.database import Connection
from runtime.entities import EntityTable, type_of
from runtime.ledgers import LedgerTable
from runtime.proof.balances import Balances
from runtime.proof.entities import FoldedEntity, compare_entities
from runtime.proof.orders import LINES, ROW, FoldedOrder, compare_order
from runtime.proof.parts import ALL_KEYS
from runtime.proof.report import Report

_ORDERS: Final = f"SELECT {ROW} FROM orders WHERE id = ANY($1::text[]::uuid[])"  # noqa: S608 - names of ours
_LINES: Final = f"""
    SELECT {LINES} FROM order_lines WHERE order_id = ANY($1::text[]::uuid[]) GROUP BY order_lines.order_id
"""  # noqa: S608 - names of ours


async def compare_orders(
    connection: Connection, folded: Mapping[str, FoldedOrder | None], report: Report, until: datetime | None = None
) -> None:
    """Compares orders and their lines. Those that changed after `until` are ahead."""
    if not folded:
        return
    ids = list(folded)
    rows: dict[str, asyncpg.Record] = {row["id"]: row for row in await connection.fetch(_ORDERS, ids)}
    lines: dict[str, asyncpg.Record] = {row["order_id"]: row for row in await connection.fetch(_LINES, ids)}
    for order_id, said in folded.items():
        row, of_order = rows.get(order_id), lines.get(order_id)
        if row is not None and until is not None and row["updated_at"] > until:
            continue
        if said is not None:
            compare_order(order_id, said, [row] if row else [], [of_order] if of_order else [], report)
        elif row or of_order:
            report.differ("orders" if row else "lines", order_id, "has no event")


async def compare_rows(
    connection: Connection,
    entity_table: EntityTable,
    folded: Mapping[str, FoldedEntity | None],
    report: Report,
    until: datetime | None = None,
) -> None:
    """Compares the rows of one kind of entity. Those that changed after `until` are ahead."""
    columns = ", ".join((*entity_table.proven, "created_at", "updated_at"))
    key, kind = entity_table.key, type_of(entity_table.table, entity_table.key)
    rows = await connection.fetch(
        f"SELECT {columns} FROM {entity_table.table.name} WHERE {key} = ANY($1::text[]::{kind}[])",  # noqa: S608
        list(folded),
    )
    ahead = {str(row[key]) for row in rows if until is not None and row["updated_at"] > until}
    said = {getattr(each.state, key): each for name, each in folded.items() if each is not None and name not in ahead}
    compare_entities(entity_table, said, [row for row in rows if str(row[key]) not in ahead], report)


async def compare_balances(
    connection: Connection, table: LedgerTable, folded: Mapping[str, Balance | None], report: Report
) -> None:
    """Compares balances. Only use it when nothing is left to fold: their rows do not record when they changed."""
    balances = Balances(report, ALL_KEYS)
    for key, balance in folded.items():
        if balance is not None:
            balances.begin(table.ledger, key, balance)
    rows = await connection.fetch(
        f"SELECT {table.key}, {table.posted}, {table.pending} FROM {table.table.name} WHERE {table.key} = ANY($1)",  # noqa: S608
        list(folded),
    )
    for key, posted, pending in rows:
        balances.compare(table, key, posted, pending)
    balances.compare_the_rest(table)
