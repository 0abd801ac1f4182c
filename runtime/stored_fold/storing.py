"""Writes the stored fold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from domain.ledgers import Balance, Ledger
from runtime.database import Connection
from runtime.entities import EntityTable
from runtime.proof.entities import FoldedEntity
from runtime.proof.orders import FoldedOrder
from runtime.proof.stored import encode, meaning, unknown_to
from runtime.stored_fold.folding import Folded
from runtime.stored_fold.window import Window

_TABLES: Final = ("folded_orders", "folded_entities", "folded_balances", "log_digests")
_FORGET_AT_ONCE: Final = 50_000
_UNFOLD: Final = """
    UPDATE fold_position SET seq = 0, at = NULL, digest = '', balances_seq = 0, meaning = '', numbers = '{}',
        moved_at = now()
"""
_MEANS: Final = "UPDATE fold_position SET meaning = $1"
_FOLDED_ANY: Final = "SELECT EXISTS (SELECT FROM events WHERE seq <= $1 AND type = ANY($2))"
_ORDERS: Final = """
    INSERT INTO folded_orders (order_id, state, placed_at, updated_at, placed_seq)
    SELECT * FROM unnest($1::text[]::uuid[], $2::bytea[], $3::timestamptz[], $4::timestamptz[], $5::bigint[])
    ON CONFLICT (order_id) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at
"""
_ENTITIES: Final = """
    INSERT INTO folded_entities (table_name, key, subject, state, created_at, updated_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::timestamptz[], $6::timestamptz[])
    ON CONFLICT (table_name, key) DO UPDATE SET state = excluded.state, updated_at = excluded.updated_at
"""
_BALANCES: Final = """
    INSERT INTO folded_balances (ledger, key, posted, pending)
    SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[])
    ON CONFLICT (ledger, key) DO UPDATE SET posted = excluded.posted, pending = excluded.pending
"""
_MOVE: Final = "UPDATE fold_position SET seq = $1, at = $2, digest = $3, numbers = $4, moved_at = now()"
_DIGEST: Final = "INSERT INTO log_digests (seq, digest) VALUES ($1, $2)"


async def begin_again(connection: Connection) -> bool:
    """Deletes the stored fold, a part at a time; returns whether all of it is gone, so that this release may fold from
    the log's beginning. Until then, no release can use the fold."""
    await connection.execute(_UNFOLD)
    left = _FORGET_AT_ONCE
    for table in _TABLES:
        some = f"SELECT ctid FROM {table} LIMIT {left}"  # noqa: S608 - names of ours
        done = await connection.execute(f"DELETE FROM {table} WHERE ctid = ANY(ARRAY({some}))")  # noqa: S608 - likewise
        left -= int(done.split()[-1])
        if left == 0:
            return False
    await connection.execute(_MEANS, meaning())
    return True


async def take_over(connection: Connection, folded_with: str, seq: int) -> bool:
    """Whether this release may continue from a fold up to `seq` that has another meaning; if so, gives the fold this
    release's meaning. It may if the two differ only in types of events that the folded log does not have."""
    new = unknown_to(folded_with)
    if new is None or await connection.fetchval(_FOLDED_ANY, seq, list(new)):
        return False
    await connection.execute(_MEANS, meaning())
    return True


async def store(connection: Connection, window: Window, folded: Folded) -> None:
    """Writes the fold after a window."""
    await _store_orders(connection, folded.orders)
    await _store_entities(connection, folded.entities)
    await _store_balances(connection, folded.balances)
    await connection.execute(_DIGEST, window.until, folded.digest)
    numbers = msgspec.json.encode(folded.numbers).decode()
    await connection.execute(_MOVE, window.until, window.at, folded.digest, numbers)


async def _store_orders(connection: Connection, orders: Mapping[str, FoldedOrder]) -> None:
    if not orders:
        return
    states, *moments = zip(*orders.values(), strict=True)
    await connection.execute(_ORDERS, list(orders), list(map(encode, states)), *map(list, moments))


async def _store_entities(connection: Connection, entities: Iterable[tuple[EntityTable, str, FoldedEntity]]) -> None:
    rows = [
        (table.table.name, str(getattr(each.state, table.key)), subject, encode(each.state), *each[1:])
        for table, subject, each in entities
    ]
    if rows:
        await connection.execute(_ENTITIES, *map(list, zip(*rows, strict=True)))


async def _store_balances(connection: Connection, balances: Mapping[Ledger, Mapping[str, Balance]]) -> None:
    for ledger, by_key in balances.items():
        if by_key:
            posted, pending = [each.posted for each in by_key.values()], [each.pending for each in by_key.values()]
            await connection.execute(_BALANCES, ledger.name, list(by_key), posted, pending)
