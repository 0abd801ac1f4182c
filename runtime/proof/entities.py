"""Every entity of `runtime/entities.py`, folded from its own events and compared with its rows, column by column.
Secrets, which are not in the log, and derived columns that only help to search are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from domain.catalogue import Product, VariantAdded, VariantChanged
from domain.model import Entity, Event, Shop, evolve_entities
from runtime.entities import EntityTable
from runtime.proof.guards import Guards
from runtime.proof.report import Report
from runtime.records import read_event


class FoldedEntity(NamedTuple):
    """A state according to the log, when it was created, and when it last changed."""

    state: Entity
    created_at: datetime
    updated_at: datetime


States = dict[type[Entity], dict[Any, FoldedEntity]]
"""By kind and key."""


class EntityFold:
    """Folds one subject's events into entities, starting from what was folded earlier, if anything. It is not
    `readable` if one of the events is unreadable, which the log's own check reports."""

    def __init__(
        self,
        entities: Sequence[EntityTable],
        guards: Guards,
        report: Report,
        start: Iterable[tuple[EntityTable, FoldedEntity]] = (),
    ) -> None:
        self.states: States = {entity_table.state: {} for entity_table in entities}
        self.readable = True
        self._shop = Shop()
        self._entities = entities
        self._guards = guards
        self._report = report
        for entity_table, folded in start:
            key = getattr(folded.state, entity_table.key)
            self._shop.of(entity_table.state)[key] = folded.state
            self.states[entity_table.state][key] = folded
        guards.begin_subject(entities, self._shop)

    def follow(self, row: asyncpg.Record) -> None:
        """Folds the subject's next event, from a row: subject, type, data, moment, seq and version."""
        _, event_type, data, at, seq, version = row
        try:
            event = read_event(event_type, version, data)
        except (KeyError, msgspec.MsgspecError):
            self.take(None, at, seq)
        else:
            self.take(event, at, seq)

    def take(self, event: Event | None, at: datetime, seq: int) -> None:
        """Folds the subject's next event; None stands for an unreadable one."""
        if event is None:
            self.readable = False
        elif self.readable:
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


def _note(folded: States, shop: Shop, at: datetime) -> None:
    """Records what has just changed."""
    for kind, known in folded.items():
        for key, state in shop.of(kind).items():
            before = known.get(key)
            if before is None:
                known[key] = FoldedEntity(state, at, at)
            elif before.state is not state:
                known[key] = FoldedEntity(state, before.created_at, at)


def compare_entities(
    entity_table: EntityTable, folded: dict[Any, FoldedEntity], rows: Iterable[asyncpg.Record], report: Report
) -> None:
    """Compares the rows of one kind of entity with the folded states."""
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
        if entity_table.compared:
            following = entity_table.following(known.state)
            said |= {name: following[name] for name in entity_table.compared}
            found |= {name: row[name] for name in entity_table.compared}
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
    """The columns that are compared, with their expected values."""
    known = {name: getattr(state, name) for name in entity_table.fields if name not in entity_table.private}
    return {**known, "created_at": created_at, "updated_at": updated_at}
