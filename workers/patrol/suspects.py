"""Checks suspects: rows that may differ from the log. This is done when nothing is left to fold, because then every row
must agree with the stored fold.

A row that differs remains a suspect, and is checked in every round until it agrees with the log again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from domain.ledgers import Balance
from runtime.database import Connection
from runtime.ledgers import LEDGERS, LedgerTable
from runtime.proof.outcomes import different, tell
from runtime.proof.report import Report
from runtime.proof.stored import (
    BY_TABLE,
    ENTITIES_FOLDED,
    LOG_ROW,
    ORDERS,
    Digest,
    folded_entity,
    folded_order,
)
from workers.patrol import rows

NEW_AT_ONCE: Final = 500
_DIFFERENT_AT_ONCE: Final = 100

_NEW: Final = "SELECT id, table_name, key, seq, by_hand FROM suspects WHERE differs_since IS NULL ORDER BY id LIMIT $1"
_DIFFERENT: Final = """
    SELECT id, table_name, key, seq FROM suspects WHERE differs_since IS NOT NULL AND id > $1 ORDER BY id LIMIT $2
"""
_FOLDED_ORDERS: Final = f"{ORDERS} WHERE order_id = ANY($1::text[]::uuid[])"
_FOLDED_ENTITIES: Final = f"{ENTITIES_FOLDED} WHERE table_name = $1 AND key = ANY($2)"
_FOLDED_BALANCES: Final = "SELECT key, posted, pending FROM folded_balances WHERE ledger = $1 AND key = ANY($2)"
_BOUNDS: Final = """
    SELECT coalesce((SELECT max(seq) FROM log_digests WHERE seq < $1), 0) AS after,
        (SELECT min(seq) FROM log_digests WHERE seq >= $1) AS until
"""
_EVENTS: Final = f"SELECT {LOG_ROW} FROM events WHERE seq > $1 AND seq <= $2 ORDER BY seq"  # noqa: S608 - ours
_FIRST_SEQ: Final = "SELECT first_seq FROM log_start"
_RECORD: Final = "SELECT seq, event_count FROM commands WHERE id = $1::text::uuid"
_OUTCOME: Final = different("command_id = $1::text::uuid AND seq BETWEEN $2 AND $3", "id = $1::text::uuid")
_ADD: Final = """
    INSERT INTO suspects (table_name, key, by_hand) SELECT v.table_name, v.key, false
    FROM unnest($1::text[], $2::text[]) AS v (table_name, key)
    WHERE NOT EXISTS (
        SELECT FROM suspects s WHERE s.table_name = v.table_name AND s.key = v.key AND s.differs_since IS NOT NULL
    )
"""
_FORGET: Final = "DELETE FROM suspects WHERE id = ANY($1)"
_REMEMBER: Final = "UPDATE suspects SET differs_since = now() WHERE id = ANY($1)"
_OPEN: Final = "SELECT table_name, count(*) FROM suspects WHERE differs_since IS NOT NULL GROUP BY table_name"

_LINES: Final = "order_lines"
_TABLE_OF_CHECK: Final = {
    "lines": _LINES,
    "log": "events",
    "outcomes": "commands",
    **{table.ledger.name: table.table.name for table in LEDGERS},
}

WATCHED: Final = ("events", "commands", "orders", _LINES, *(each.table.name for each in LEDGERS), *BY_TABLE)
"""The tables whose rows are compared, and noted when they are changed by hand."""


class Row(NamedTuple):
    """A row by its table and key."""

    table: str
    key: str


class Difference(NamedTuple):
    """What is wrong with a row."""

    row: Row
    problem: str


class Looked(NamedTuple):
    """The result of a look: how many rows changed by hand it checked, the differences not known before, and whether
    there may be more to check."""

    by_hand: Sequence[Row] = ()
    differences: Sequence[Difference] = ()
    more: bool = False


def table_of(check: str) -> str:
    """The table that a check is about."""
    return _TABLE_OF_CHECK.get(check, check)


async def add_balances(connection: Connection) -> None:
    """Makes every balance that differs from the fold a suspect."""
    for table in LEDGERS:
        await connection.execute(_all_balances(table), table.ledger.name, table.table.name, NEW_AT_ONCE)


def _all_balances(table: LedgerTable) -> str:
    return f"""
        INSERT INTO suspects (table_name, key, by_hand)
        SELECT $2, coalesce(f.key, b.{table.key}), false
        FROM (SELECT key, posted, pending FROM folded_balances WHERE ledger = $1) f
            FULL JOIN {table.table.name} b ON b.{table.key} = f.key
        WHERE (f.posted, f.pending) IS DISTINCT FROM (b.{table.posted}::bigint, b.{table.pending}::bigint) LIMIT $3
    """  # noqa: S608 - names of ours


async def add(connection: Connection, report: Report) -> None:
    """Makes every row that differs in the report a suspect."""
    if found := {(table_of(each["check"]), each["subject"]) for each in report.differences}:
        await connection.execute(_ADD, *map(list, zip(*sorted(found), strict=True)))


async def open_differences(connection: Connection) -> Mapping[str, int]:
    """How many rows differ, by table."""
    return {row["table_name"]: row["count"] for row in await connection.fetch(_OPEN)}


class Looking:
    """Checks suspects, round after round."""

    def __init__(self) -> None:
        self._looked_until = 0

    async def look(self, connection: Connection) -> Looked:
        """Checks new suspects, and some of those that differed before."""
        new = await connection.fetch(_NEW, NEW_AT_ONCE)
        known = await connection.fetch(_DIFFERENT, self._looked_until, _DIFFERENT_AT_ONCE)
        self._looked_until = known[-1]["id"] if len(known) == _DIFFERENT_AT_ONCE else 0
        if not new and not known:
            return Looked()
        problems = await _problems(connection, [*new, *known])
        known_rows = {_row(each) for each in known}
        found: dict[Row, int] = {}
        for each in new:
            if (row := _row(each)) in problems and row not in known_rows:
                found.setdefault(row, each["id"])
        keep = {*found.values(), *(each["id"] for each in known if _row(each) in problems)}
        await connection.execute(_FORGET, [each["id"] for each in (*new, *known) if each["id"] not in keep])
        await connection.execute(_REMEMBER, list(found.values()))
        return Looked(
            list(dict.fromkeys(_row(each) for each in new if each["by_hand"])),
            [Difference(row, problems[row]) for row in found],
            len(new) == NEW_AT_ONCE,
        )


def _row(suspect: asyncpg.Record) -> Row:
    return Row(suspect["table_name"], suspect["key"])


async def _problems(connection: Connection, suspects: Sequence[asyncpg.Record]) -> dict[Row, str]:
    """What is wrong with each of them that differs."""
    keys: dict[str, dict[str, int | None]] = defaultdict(dict)
    for each in suspects:
        keys[each["table_name"]][each["key"]] = each["seq"]
    report = Report(differences_max=2 * len(suspects) + 2)
    await _look_at_orders(connection, {*keys.pop("orders", ()), *keys.pop(_LINES, ())}, report)
    first_seq = await connection.fetchval(_FIRST_SEQ)
    await _look_at_events(connection, map(int, keys.pop("events", ())), first_seq, report)
    for key, seq in keys.pop("commands", {}).items():
        await _look_at_command(connection, key, seq, first_seq, report)
    for ledger_table in LEDGERS:
        if of_ledger := list(keys.pop(ledger_table.table.name, ())):
            found = await connection.fetch(_FOLDED_BALANCES, ledger_table.ledger.name, of_ledger)
            balances = {key: Balance(posted, pending) for key, posted, pending in found}
            await rows.compare_balances(connection, ledger_table, {key: balances.get(key) for key in of_ledger}, report)
    for table, of_table in keys.items():
        if entity_table := BY_TABLE.get(table):
            found = await connection.fetch(_FOLDED_ENTITIES, table, list(of_table))
            entities = {row["key"]: folded_entity(row)[1] for row in found}
            await rows.compare_rows(connection, entity_table, {key: entities.get(key) for key in of_table}, report)
    wrong = {Row(table_of(each["check"]), each["subject"]): each["problem"] for each in report.differences}
    # An order and its lines are checked together; either of them may have been noted.
    for each in suspects:
        row = _row(each)
        if row not in wrong and row.table in ("orders", _LINES):
            other = Row("orders" if row.table == _LINES else _LINES, row.key)
            if other in wrong:
                wrong[row] = wrong[other]
    return wrong


async def _look_at_orders(connection: Connection, ids: Iterable[str], report: Report) -> None:
    if asked := list(ids):
        found = {row[0]: folded_order(row) for row in await connection.fetch(_FOLDED_ORDERS, asked)}
        await rows.compare_orders(connection, {each: found.get(each) for each in asked}, report)


async def _look_at_events(connection: Connection, seqs: Iterable[int], first_seq: int, report: Report) -> None:
    """An event is unchanged if the digest of its window still matches; events after the fold's end are skipped. A
    window that begins before `first_seq`, and so is partly archived, cannot be checked."""
    agreed: dict[tuple[int, int], bool] = {}
    for seq in seqs:
        after, until = await connection.fetchrow(_BOUNDS, seq)
        if until is None or after + 1 < first_seq:
            continue
        if (after, until) not in agreed:
            agreed[after, until] = await _digest_agrees(connection, after, until)
        if not agreed[after, until]:
            report.differ("log", str(seq), "is not what it was when it was folded")


async def _digest_agrees(connection: Connection, after: int, until: int) -> bool:
    digests: dict[int, Any] = {
        row["seq"]: row["digest"]
        for row in await connection.fetch("SELECT seq, digest FROM log_digests WHERE seq IN ($1, $2)", after, until)
    }
    digest = Digest(digests.get(after, b""))
    for row in await connection.fetch(_EVENTS, after, until):
        digest.follow(row)
    return bool(digest.value() == digests[until])


async def _look_at_command(
    connection: Connection, command_id: str, seq: int | None, first_seq: int, report: Report
) -> None:
    """Compares a command's record with its events, which are consecutive from its seq on; if the record is gone, `seq`
    is the one that it had. The events just before and after are read as well, as they must belong to other commands.
    Events before `first_seq` are archived, so there is nothing to compare."""
    record = await connection.fetchrow(_RECORD, command_id)
    first, count = record or (seq, 1)
    if first is not None and first >= first_seq:
        for row in await connection.fetch(_OUTCOME, command_id, first - 1, first + count):
            tell(row, report)
