"""Every entity: the events of one prefix and the rows of their entities, all sorted by subject, are read in parallel:
only one subject's entities are in memory at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from ops.verify.snapshot import Snapshot
from ops.verify.streams import least_key, started
from runtime.entities import ENTITIES, EntityTable
from runtime.proof.entities import EntityFold, compare_entities
from runtime.proof.guards import Guards
from runtime.proof.report import Progress, Report
from runtime.proof.stored import ENTITIES_FOLDED, Position, folded_entity

_EVENTS: Final = """
    SELECT subject, type, data::text, occurred_at, seq, version FROM events
    WHERE starts_with(type, $1) AND seq > $2 ORDER BY subject COLLATE "C", seq
"""
_FOLDED: Final = (
    f'{ENTITIES_FOLDED} WHERE table_name = ANY($1) AND $2::bigint > 0 ORDER BY subject COLLATE "C", table_name, key'
)


async def check_entities(snapshot: Snapshot, base: Position, report: Report, progress: Progress) -> None:
    """Compares every row of every entity with its events, those after the base with what was folded before; and finds
    rows that have none."""
    by_prefix: dict[str, list[EntityTable]] = defaultdict(list)
    guards = Guards()
    for entity_table in ENTITIES:
        by_prefix[entity_table.events].append(entity_table)
        report.counts[entity_table.table.name] = 0
    for done, (prefix, entities) in enumerate(by_prefix.items(), start=1):
        await _check(snapshot, base, prefix, entities, guards, report)
        progress("entities", done, len(by_prefix))
    last_seq: int = (await snapshot.row("SELECT last_seq FROM event_counter"))[0]
    seqs: dict[str, int] = {row["name"]: row["seq"] for row in await snapshot.rows("SELECT name, seq FROM guards")}
    guards.compare(seqs, last_seq, report)


async def _check(
    snapshot: Snapshot, base: Position, prefix: str, entities: Sequence[EntityTable], guards: Guards, report: Report
) -> None:
    streams = await started(
        snapshot.blocks(_FOLDED, [each.table.name for each in entities], base.seq),
        snapshot.blocks(_EVENTS, prefix, base.seq),
        *(snapshot.blocks(_rows_of(each)) for each in entities),
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


def _rows_of(entity_table: EntityTable) -> str:
    """All rows, each preceded by the subject of its events."""
    columns = ", ".join((*entity_table.fields, "created_at", "updated_at"))
    return (
        f"SELECT {entity_table.subject}::text AS told_under, {columns} FROM {entity_table.table.name}"  # noqa: S608 - names of ours
        f' ORDER BY {entity_table.subject}::text COLLATE "C", {entity_table.key}'
    )
