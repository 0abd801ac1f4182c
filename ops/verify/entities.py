"""Checks every entity: the events of one prefix and the rows of their entities, all sorted by subject, are read in
parallel, so that only one subject's entities are in memory at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from ops.verify.snapshot import Snapshot
from ops.verify.streams import least_key, nothing, started
from runtime.entities import ENTITIES, EntityTable
from runtime.proof.entities import EntityFold, compare_entities
from runtime.proof.guards import Guards
from runtime.proof.report import Progress, Report
from runtime.proof.stored import ENTITIES_FOLDED, Position, folded_entity

_EVENTS: Final = """
    SELECT subject, type, data::text, occurred_at, seq, version FROM events
    WHERE starts_with(type, $1) AND seq > $2 ORDER BY subject COLLATE "C", seq
"""
_FOLDED: Final = f'{ENTITIES_FOLDED} WHERE table_name = ANY($1) ORDER BY subject COLLATE "C", table_name, key'

# A log is read once for each prefix, and most shops have nothing of some.
_TYPES: Final = "SELECT DISTINCT type FROM events WHERE seq > $1"


async def check_entities(snapshot: Snapshot, base: Position, report: Report, progress: Progress) -> None:
    """Compares every row of every entity with the fold: the stored one up to the base, and the events after it. Also
    finds rows without events."""
    by_prefix: dict[str, list[EntityTable]] = defaultdict(list)
    guards = Guards()
    for entity_table in ENTITIES:
        by_prefix[entity_table.events].append(entity_table)
        report.counts[entity_table.table.name] = 0
    there = _There(
        frozenset(row[0] for row in await snapshot.rows(_TYPES, base.seq)),
        frozenset(row[0] for row in await snapshot.rows(_filled())),
    )
    for done, (prefix, entities) in enumerate(by_prefix.items(), start=1):
        await _check(snapshot, base, there, prefix, entities, guards, report)
        progress("entities", done, len(by_prefix))
    last_seq: int = (await snapshot.row("SELECT last_seq FROM event_counter"))[0]
    seqs: dict[str, int] = {row["name"]: row["seq"] for row in await snapshot.rows("SELECT name, seq FROM guards")}
    guards.compare(seqs, last_seq, report)


class _There(NamedTuple):
    """The types of the events after the base, and the tables that have rows."""

    types: frozenset[str]
    tables: frozenset[str]


async def _check(
    snapshot: Snapshot,
    base: Position,
    there: _There,
    prefix: str,
    entities: Sequence[EntityTable],
    guards: Guards,
    report: Report,
) -> None:
    names = [each.table.name for each in entities]
    told = any(event_type.startswith(prefix) for event_type in there.types)
    streams = await started(
        snapshot.blocks(_FOLDED, names) if base.seq else nothing(),
        snapshot.blocks(_EVENTS, prefix, base.seq) if told else nothing(),
        *(snapshot.blocks(_rows_of(each)) if each.table.name in there.tables else nothing() for each in entities),
    )
    folded, events, *tables = streams
    while (subject := least_key(streams)) is not None:
        fold = EntityFold(entities, guards, report, map(folded_entity, await folded.take(subject)))
        await events.each(subject, fold.follow)
        guards.end_subject()
        for entity_table, rows in zip(entities, tables, strict=True):
            found = await rows.take(subject)
            report.counts[entity_table.table.name] += len(found)
            if fold.readable:
                compare_entities(entity_table, fold.states[entity_table.state], found, report)


def _filled() -> str:
    """The names of the tables that have rows."""
    names = (each.table.name for each in ENTITIES)
    return " UNION ALL ".join(f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names)  # noqa: S608 - ours


def _rows_of(entity_table: EntityTable) -> str:
    """All rows, each preceded by the subject of its events."""
    columns = ", ".join((*entity_table.proven, "created_at", "updated_at"))
    return (
        f"SELECT {entity_table.subject}::text AS told_under, {columns} FROM {entity_table.table.name}"  # noqa: S608 - names of ours
        f' ORDER BY {entity_table.subject}::text COLLATE "C", {entity_table.key}'
    )
