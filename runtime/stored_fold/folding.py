"""Folds a window onto the stored fold. Faults of the events themselves are reported. The rows that the window touches
are compared by the caller; one that differs is only a suspect, and is checked again when nothing is left to fold (see
`workers/patrol/suspects.py`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple
from uuid import UUID

from domain.ledgers import Balance, Ledger
from domain.model import Entity, Event
from domain.orders import OrderPlaced
from runtime.database import Connection
from runtime.entities import ENTITIES, EntityTable
from runtime.ledgers import LEDGERS
from runtime.proof.balances import Balances
from runtime.proof.entities import EntityFold, FoldedEntity
from runtime.proof.entries import Entries
from runtime.proof.guards import Guards
from runtime.proof.numbers import Numbers
from runtime.proof.orders import FoldedOrder, OrderFold
from runtime.proof.outcomes import different, tell
from runtime.proof.parts import ALL_KEYS
from runtime.proof.prices import Prices
from runtime.proof.quotes import Quotes
from runtime.proof.report import Report
from runtime.proof.stored import ENTITIES_FOLDED, ORDERS, Digest, Position, folded_entity, folded_order
from runtime.stored_fold.loaded import NOTHING_LOADED, Loaded, load_balances, load_priced, unchanged
from runtime.stored_fold.window import Window

_BREATH_EVENTS: Final = 64
"""How many events to handle before yielding to the event loop."""

_PREFIXES: Final[Mapping[str, Sequence[EntityTable]]] = {
    prefix: [each for each in ENTITIES if each.events == prefix] for prefix in {each.events for each in ENTITIES}
}
_FOLDED_ORDERS: Final = f"{ORDERS} WHERE order_id = ANY($1::text[]::uuid[])"
_FOLDED_SUBJECTS: Final = f"{ENTITIES_FOLDED} WHERE subject = ANY($1)"
_GUARDS: Final = "SELECT name, seq FROM guards"
_OUTCOMES: Final = different("seq > $1 AND seq <= $2", "id IN (SELECT command_id FROM left_by)")


class _Told(NamedTuple):
    """An event (None if it is unreadable), with its moment and seq."""

    event: Event | None
    at: datetime
    seq: int


class Folded(NamedTuple):
    """The fold after a window: the changed states, the balances that moved, the digest of the log up to the window's
    end, how many numbers of each series have been given out by then, and what the next window may start with."""

    orders: dict[str, FoldedOrder]
    entities: list[tuple[EntityTable, str, FoldedEntity]]
    balances: dict[Ledger, Mapping[str, Balance]]
    digest: bytes
    numbers: Mapping[str, int]
    loaded: Loaded


class Folding:
    """Folds one window, starting with what the one before has `loaded`, if that still holds. `report` collects what is
    wrong with the log."""

    def __init__(self, connection: Connection, window: Window, report: Report, loaded: Loaded = NOTHING_LOADED) -> None:
        self._connection = connection
        self._window = window
        self._loaded = loaded if loaded.holds_at(window.base) else NOTHING_LOADED
        self._report = report
        self._orders: dict[str, list[_Told]] = defaultdict(list)
        self._subjects: dict[str, dict[str, list[_Told]]] = defaultdict(lambda: defaultdict(list))
        self._events: list[tuple[int, Event]] = []

    async def fold(self) -> Folded:
        """The states after the window."""
        digest = await self._read()
        await self._check_outcomes()
        prices, quotes = Prices(self._report, ALL_KEYS), Quotes(self._report)
        balances, numbers = Balances(self._report, ALL_KEYS), Numbers(self._report, self._window.base.numbers)
        entities_before = await self._entities_before()
        priced = await self._begin(prices, balances, entities_before)
        for number, (seq, event) in enumerate(self._events):
            if number % _BREATH_EVENTS == 0:
                await asyncio.sleep(0)
            balances.follow(seq, event.moves())
            prices.follow(seq, event)
            quotes.follow(seq, event)
            numbers.follow(seq, event)
        if self._window.reaches_the_tail and self._window.rows:
            numbers.compare(self._window.counter.numbers)
        orders, entities = await self._fold_orders(), await self._fold_entities(entities_before)
        moved = {table.ledger: balances.folded(table.ledger) for table in LEDGERS}
        given = numbers.given()
        end = Position(self._window.until, self._window.at, digest, given)
        return Folded(orders, entities, moved, digest, given, Loaded(end, moved, unchanged(priced, entities)))

    async def _read(self) -> bytes:
        """Reads the events and groups them by subject; returns the digest of the log up to the last one."""
        base, counter = self._window.base, self._window.counter
        digest, entries = Digest(base.digest), Entries(self._report, counter.ordered_after, base.seq, base.at)
        for number, row in enumerate(self._window.rows):
            if number % _BREATH_EVENTS == 0:
                await asyncio.sleep(0)
            digest.follow(row)
            event = entries.read(row)
            seq, event_type, subject, at, *_ = row
            if event is not None:
                self._events.append((seq, event))
                subject = event.subject()
            prefix = event_type.partition(".")[0] + "."
            told = _Told(event, at, seq)
            if prefix == "order.":
                if event is not None or _is_id(subject):
                    self._orders[subject].append(told)
            elif prefix in _PREFIXES:
                self._subjects[prefix][subject].append(told)
        if self._window.reaches_the_tail and self._window.rows:
            entries.compare(counter.last_seq, counter.last_at)
        return digest.value() if self._window.rows else base.digest

    async def _check_outcomes(self) -> None:
        for row in await self._connection.fetch(_OUTCOMES, self._window.base.seq, self._window.until):
            tell(row, self._report)

    async def _entities_before(self) -> dict[str, list[tuple[EntityTable, FoldedEntity]]]:
        """The folded entities of the window's subjects, by subject."""
        before: dict[str, list[tuple[EntityTable, FoldedEntity]]] = defaultdict(list)
        if subjects := {subject for told in self._subjects.values() for subject in told}:
            for row in await self._connection.fetch(_FOLDED_SUBJECTS, list(subjects)):
                before[row["subject"]].append(folded_entity(row))
        return before

    async def _begin(
        self, prices: Prices, balances: Balances, before: Mapping[str, Iterable[tuple[EntityTable, FoldedEntity]]]
    ) -> Mapping[str, list[Entity]]:
        """Starts `prices` and `balances` with the folded states that the events are about; returns, by SKU, those that
        determine prices."""
        for _, folded in (each for of_subject in before.values() for each in of_subject):
            prices.begin(folded.state)
        ordered = {line.sku for _, event in self._events if isinstance(event, OrderPlaced) for line in event.lines}
        priced = await load_priced(self._connection, self._loaded, ordered)
        for entities in priced.values():
            for entity in entities:
                prices.begin(entity)
        moved: dict[Ledger, set[str]] = defaultdict(set)
        # The moves are made twice, here and when they are applied: kept, those of a window would be a hundred thousand
        # tuples for the garbage collector to look through.
        for _, event in self._events:
            for ledger, key, _, _ in event.moves():
                moved[ledger].add(key)
        for ledger, keys in moved.items():
            for key, balance in (await load_balances(self._connection, self._loaded, ledger, keys)).items():
                balances.begin(ledger, key, balance)
        return priced

    async def _fold_orders(self) -> dict[str, FoldedOrder]:
        if not self._orders:
            return {}
        rows = await self._connection.fetch(_FOLDED_ORDERS, list(self._orders))
        before = {row[0]: folded_order(row) for row in rows}
        after = {}
        for number, (order_id, told) in enumerate(self._orders.items()):
            if number % _BREATH_EVENTS == 0:
                await asyncio.sleep(0)
            fold = OrderFold(order_id, self._report, before.get(order_id))
            for each in told:
                fold.take(*each)
            if folded := fold.end():
                after[order_id] = folded
        return after

    async def _fold_entities(
        self, before: Mapping[str, Sequence[tuple[EntityTable, FoldedEntity]]]
    ) -> list[tuple[EntityTable, str, FoldedEntity]]:
        after: list[tuple[EntityTable, str, FoldedEntity]] = []
        guards = Guards()
        for prefix, subjects in self._subjects.items():
            for subject, told in subjects.items():
                start = [each for each in before.get(subject, ()) if each[0] in _PREFIXES[prefix]]
                fold = EntityFold(_PREFIXES[prefix], guards, self._report, start)
                for each in told:
                    fold.take(*each)
                guards.end_subject()
                if fold.readable:
                    after += [
                        (entity_table, subject, folded)
                        for entity_table in _PREFIXES[prefix]
                        for folded in fold.states[entity_table.state].values()
                    ]
        if self._subjects:
            seqs = {row["name"]: row["seq"] for row in await self._connection.fetch(_GUARDS)}
            guards.compare(seqs, self._window.counter.last_seq, self._report)
        return after


def _is_id(subject: str) -> bool:
    try:
        UUID(subject)
    except ValueError:
        return False
    return True
