"""Every entity of `runtime/entities.py`, folded from its own events and compared with its rows, column by column. The
events of one prefix and the rows of their entities, all sorted by subject, are read in parallel: only one subject's
entities are in memory at a time. Secrets, which are not in the log, and columns that are not fields of the state are
not compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from domain.catalogue import Product, VariantAdded, VariantChanged
from domain.model import Shop, evolve_entities
from ops.verify.guards import Guards
from ops.verify.report import Progress, Report
from ops.verify.snapshot import Snapshot
from ops.verify.streams import least_key, started
from runtime.entities import ENTITIES, EntityTable
from runtime.records import read_event

_EVENTS: Final = """
    SELECT subject, type, data::text, occurred_at, seq, version FROM events
    WHERE starts_with(type, $1) ORDER BY subject COLLATE "C", seq
"""


class _Folded(NamedTuple):
    """A state according to the log, when it was created, and when it last changed."""

    state: msgspec.Struct
    created_at: datetime
    updated_at: datetime


_States = dict[type[msgspec.Struct], dict[Any, _Folded]]
"""By kind and key."""


async def check_entities(snapshot: Snapshot, report: Report, progress: Progress) -> None:
    """Compares every row of every entity with its events, and finds rows that have none."""
    by_prefix: dict[str, list[EntityTable]] = defaultdict(list)
    guards = Guards()
    for entity_table in ENTITIES:
        by_prefix[entity_table.events].append(entity_table)
        report.counts[entity_table.table.name] = 0
    for done, (prefix, entities) in enumerate(by_prefix.items(), start=1):
        await _check(snapshot, prefix, entities, guards, report)
        progress("entities", done, len(by_prefix))
    await guards.compare(snapshot, report)


async def _check(
    snapshot: Snapshot, prefix: str, entities: Sequence[EntityTable], guards: Guards, report: Report
) -> None:
    streams = await started(snapshot.blocks(_EVENTS, prefix), *(snapshot.blocks(_rows_of(each)) for each in entities))
    events, *tables = streams
    while (subject := least_key(streams)) is not None:
        fold = _Fold(entities, guards, report)
        await events.each(subject, fold.follow)
        guards.end_subject()
        for entity_table, rows in zip(entities, tables, strict=True):
            found = await rows.take(subject)
            report.counts[entity_table.table.name] += len(found)
            if fold.readable:
                _compare(entity_table, fold.states[entity_table.state], found, report)


def _rows_of(entity_table: EntityTable) -> str:
    """All rows, each preceded by the subject of its events."""
    columns = ", ".join((*entity_table.fields, "created_at", "updated_at"))
    return (
        f"SELECT {entity_table.subject}::text AS told_under, {columns} FROM {entity_table.table.name}"  # noqa: S608 - names of ours
        f' ORDER BY {entity_table.subject}::text COLLATE "C", {entity_table.key}'
    )


class _Fold:
    """The entities made by one subject's events. It is not `readable` if one of them cannot be read, which the log's
    own check reports."""

    def __init__(self, entities: Sequence[EntityTable], guards: Guards, report: Report) -> None:
        self.states: _States = {entity_table.state: {} for entity_table in entities}
        self.readable = True
        self._shop = Shop()
        self._entities = entities
        self._guards = guards
        self._report = report

    def follow(self, row: asyncpg.Record) -> None:
        """Takes the subject's next event."""
        _, event_type, data, at, seq, version = row
        try:
            event = read_event(event_type, version, data)
        except (KeyError, msgspec.MsgspecError):
            self.readable = False
        if self.readable:
            evolve_entities(self._shop, event)
            _note(self.states, self._shop, at)
            self._guards.follow(seq, at, self._entities, self._shop)
            if isinstance(event, VariantAdded | VariantChanged):
                _check_status(self._shop, event, self._report)


def _check_status(shop: Shop, event: VariantAdded | VariantChanged, report: Report) -> None:
    """Whether a variant is on sale depends on the product status in its event, so that must be right."""
    product = shop.of(Product).get(event.product_id)
    if product is not None and product.status != event.product_status:
        report.differ(
            "products",
            str(product.id),
            "has another status than its variant's event says",
            sku=event.sku,
            product=product.status,
            event=event.product_status,
        )


def _note(folded: _States, shop: Shop, at: datetime) -> None:
    """Records what has just changed."""
    for kind, known in folded.items():
        for key, state in shop.of(kind).items():
            before = known.get(key)
            if before is None:
                known[key] = _Folded(state, at, at)
            elif before.state is not state:
                known[key] = _Folded(state, before.created_at, at)


def _compare(
    entity_table: EntityTable, folded: dict[Any, _Folded], rows: Iterable[asyncpg.Record], report: Report
) -> None:
    table = entity_table.table.name
    for row in rows:
        state = entity_table.read(row)
        key = getattr(state, entity_table.key)
        known = folded.pop(key, None)
        if known is None:
            report.differ(table, str(key), "has no event")
            continue
        said = _columns(entity_table, known.state, known.created_at, known.updated_at)
        found = _columns(entity_table, state, row["created_at"], row["updated_at"])
        if different := [name for name in said if found[name] != said[name]]:
            report.differ(
                table,
                str(key),
                "the table differs from the log",
                table={name: found[name] for name in different},
                log={name: said[name] for name in different},
            )
    for key in folded:
        report.differ(table, str(key), "is in the log but not in the table")


def _columns(
    entity_table: EntityTable, state: msgspec.Struct, created_at: datetime, updated_at: datetime
) -> dict[str, Any]:
    """What is compared."""
    known = {name: getattr(state, name) for name in entity_table.fields if name not in entity_table.private}
    return {**known, "created_at": created_at, "updated_at": updated_at}
