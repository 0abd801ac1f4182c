"""The guarded write, an optimistic check: if what a batch was decided on has changed by the time it writes, the batch
is decided again.

Balances are written as differences, not as new values, so a batch can be decided before it holds the event counter.
Once it holds the counter, the statement that writes also checks the batch's assumptions: each balance still covers the
most that the batch needed from it at any point, is still too small for every command refused for lack of it, and is
unchanged where its exact value mattered; and no guard (see `runtime/entities.py`) has moved. The balance of a sold-out
SKU is only read, not written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

import asyncpg
import msgspec

from domain.ledgers import Ledger, Move, Short
from runtime.ledgers import LEDGERS, LedgerTable
from workers.stale import StaleRead
from workers.statements import Part


class Assumptions(msgspec.Struct, gc=False):
    """What a batch's decisions assume: the seq of each guard that was read, by name; the posted amount under each key
    whose exact value mattered; and the keys that were read but have no row."""

    guards: dict[str, int] = {}
    exact: dict[Ledger, dict[str, int]] = {}
    absent: dict[Ledger, set[str]] = {}


class _Moved(msgspec.Struct, gc=False):
    """What a batch does to one balance: what it adds, and `most_taken`, the most that it had taken from the available
    amount at any point. (An order that is cancelled in the same batch changes nothing in the end, but its pieces had to
    be available.) `lacked` is the smallest available amount at which one of the refused commands would have passed."""

    posted: int = 0
    pending: int = 0
    most_taken: int = 0
    lacked: int | None = None


class Balances:
    """What a batch does to the balances of all ledgers."""

    def __init__(self) -> None:
        self._moved: dict[Ledger, dict[str, _Moved]] = defaultdict(dict)
        self._opened: dict[Ledger, set[str]] = defaultdict(set)

    def move(self, moves: Iterable[Move]) -> None:
        """Adds what an event moves."""
        for ledger, key, posted, pending in moves:
            if posted == pending == 0:
                self._opened[ledger].add(key)
                continue
            of_ledger = self._moved[ledger]
            moved = of_ledger.get(key)
            if moved is None:
                moved = of_ledger[key] = _Moved()
            moved.posted += posted
            moved.pending += pending
            taken = moved.pending - moved.posted
            if taken > moved.most_taken:
                moved.most_taken = taken

    def lack(self, short: Short) -> None:
        """Notes the amounts that a refused command would have taken."""
        for (ledger, key), amount in short.items():
            moved = self._moved[ledger].setdefault(key, _Moved())
            needed = moved.pending - moved.posted + amount
            if moved.lacked is None or needed < moved.lacked:
                moved.lacked = needed

    def unguarded(self, assumptions: Assumptions) -> list[Part] | None:
        """The moves as parts of a statement that has made sure that nothing has moved; None if a balance must be opened
        first, because the statement's snapshot would not contain the new row."""
        if self._opened:
            return None
        parts = []
        for table in LEDGERS:
            moves = {k: m for k, m in self._moved.get(table.ledger, {}).items() if m.posted or m.pending}
            if not moves.keys().isdisjoint(assumptions.absent.get(table.ledger, ())):
                return None
            if moves:
                numbers = zip(*((moved.posted, moved.pending) for moved in moves.values()), strict=True)
                moved = Part(f"moved_{table.table.name}", _unguarded(table), [list(moves), *numbers], len(moves))
                parts.append(moved)
        return parts

    async def write(self, connection: asyncpg.Connection[Any], assumptions: Assumptions) -> None:
        """Moves the balances; the counter must be held. Raises StaleRead if an assumption no longer holds; some
        balances may have been written by then, so roll back."""
        guards = assumptions.guards
        for table in LEDGERS:
            moved, exact = self._moved.get(table.ledger, {}), assumptions.exact.get(table.ledger, {})
            absent = assumptions.absent.get(table.ledger)
            opened = set(self._opened.get(table.ledger, ()))
            if absent:
                opened.update(key for key in absent & moved.keys() if moved[key].posted or moved[key].pending)
            if opened:
                await connection.execute(_open(table), sorted(opened))
            if moved or exact:
                await _write(connection, table, moved, exact, guards)
                guards = {}
        if guards and await connection.fetchval(_GUARDS, list(guards), list(guards.values())) != len(guards):
            raise StaleRead("guard_moved")


async def _write(
    connection: asyncpg.Connection[Any],
    table: LedgerTable,
    moved: Mapping[str, _Moved],
    exact: Mapping[str, int],
    guards: Mapping[str, int],
) -> None:
    """Checks and moves in one statement, separate from the one that takes the counter: that one's snapshot dates from
    before its wait, so its sub-selects would see outdated rows."""
    moves = {key: each for key, each in moved.items() if each.posted or each.pending or each.most_taken}
    looks: dict[str, int | None] = {key: each.lacked for key, each in moved.items() if each.lacked is not None}
    looks.update({key: looks.get(key) for key in exact})
    arguments: list[list[Any]] = [
        list(moves),
        [each.posted for each in moves.values()],
        [each.pending for each in moves.values()],
        [each.most_taken for each in moves.values()],
    ]
    if looks:
        arguments += [list(looks), list(looks.values()), [exact.get(key) for key in looks]]
    if guards:
        arguments += [list(guards), list(guards.values())]
    done, looked, guarded = await connection.fetchrow(_guarded(table, bool(looks), bool(guards)), *arguments)
    if guarded != len(guards):
        raise StaleRead("guard_moved")
    if done != len(moves) or looked != len(looks):
        raise StaleRead("balance_moved")


async def move_guards(connection: asyncpg.Connection[Any], names: Iterable[str], seq: int) -> None:
    """Records in the guards that what they guard changed at `seq`. The counter must be held, and the batch's own
    assumptions have been checked before."""
    await connection.execute(
        """
        INSERT INTO guards (name, seq) SELECT unnest($1::text[]), $2
        ON CONFLICT (name) DO UPDATE SET seq = excluded.seq
        """,
        list(names),
        seq,
    )


_UNMOVED_GUARDS = """
    SELECT count(*) FROM unnest(${0}::text[], ${1}::bigint[]) AS v (name, seq) LEFT JOIN guards g USING (name)
    WHERE coalesce(g.seq, 0) = v.seq
"""
_GUARDS: Final = _UNMOVED_GUARDS.format(1, 2)


@cache
def _guarded(table: LedgerTable, looks: bool, guards: bool) -> str:
    """Moves each balance that covers the most that was taken from it; counts those, and the assumptions that still
    hold."""
    name, key, posted, pending = table.table.name, table.key, table.posted, table.pending
    look = f"""
        SELECT count(*) FROM unnest($5::text[], $6::bigint[], $7::bigint[]) AS v (key, lacked, exact)
        LEFT JOIN {name} b ON b.{key} = v.key
        WHERE (v.lacked IS NULL OR coalesce(b.{posted} - b.{pending}, 0) < v.lacked)
            AND (v.exact IS NULL OR coalesce(b.{posted}, 0) = v.exact)
    """  # noqa: S608 - names of ours
    first = 8 if looks else 5
    return f"""
        WITH moved AS (
            UPDATE {name} b SET {posted} = b.{posted} + v.posted, {pending} = b.{pending} + v.pending
            FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[]) AS v (key, posted, pending, most_taken)
            WHERE b.{key} = v.key AND b.{posted} - b.{pending} >= v.most_taken
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM moved), ({look if looks else "0"}),
            ({_UNMOVED_GUARDS.format(first, first + 1) if guards else "0"})
    """  # noqa: S608 - names of ours


@cache
def _unguarded(table: LedgerTable) -> str:
    return f"""
        UPDATE {table.table.name} b
        SET {table.posted} = b.{table.posted} + v.posted, {table.pending} = b.{table.pending} + v.pending
        FROM places, unnest({{0}}::text[], {{1}}::bigint[], {{2}}::bigint[]) AS v (key, posted, pending)
        WHERE b.{table.key} = v.key
    """  # noqa: S608 - names of ours


@cache
def _open(table: LedgerTable) -> str:
    return f"INSERT INTO {table.table.name} ({table.key}) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"
