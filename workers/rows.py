"""What a batch writes, table by table: one statement each, over arrays, however long the batch. This file writes
orders; balances are in `workers/guarded.py`, the log in `workers/eventlog.py`, and all other entities in
`runtime/entities.py`.

The lock order of the whole system: mailbox positions, then orders by id, then the rows of entities, then the event
counter. A transaction that writes orders, balances or the log holds the counter until it commits; so seqs follow commit
order, an order knows its place in the log, and balances need no locks of their own. A reaction's row is locked only by
its run, for one statement, and by the commands of one mailbox, so it may come anywhere. The one exception is a batch
that holds the counter from the start, and so locks its entities after it: if another batch holds them while it waits
for the counter, the first batch gives way after a short lock timeout.

Balances are written as differences and checked when they are written (see `workers/guarded.py`). So a batch can be
decided before it holds the counter, and only one whose reads have gone stale is decided again, holding the counter from
the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec.structs import replace

from domain.checkouts import Checkout
from domain.invoices import Invoice
from domain.model import Entity, Order
from runtime import entities, orders, tables
from runtime.database import Connection
from runtime.entities import ENTITIES, EntityTable, Guard, table_of, type_of
from workers.erasing import Erasure, erased_customers
from workers.guarded import Balances
from workers.inserts import Columns, Inserts
from workers.loading import Loaded
from workers.statements import Part
from workers.tasks.outbox import Outbox

_CHANGE_ORDERS = f"""
    UPDATE orders o SET {", ".join(f"{name} = v.{name}" for name in orders.COLUMNS[1:])}, updated_at = p.at
    FROM places p, unnest({", ".join(f"{{{n}}}::{type_of(tables.orders, c)}[]" for n, c in enumerate(orders.COLUMNS))})
        AS v ({", ".join(orders.COLUMNS)}) WHERE o.id = v.id
"""  # noqa: S608 - names of ours


_NUMBER_INVOICES: Final = """
    UPDATE invoices i SET number = v.number FROM places, unnest({0}::text[], {1}::text[]) AS v (id, number)
    WHERE i.id = v.id
"""


class Rows:
    """What a batch writes besides the entities that it changed, gathered by the handlers. Rows that record a moment or
    a place in the log are written once the batch has its places."""

    def __init__(self) -> None:
        self.place = 0
        """The place in the batch of the event whose rows are being gathered."""
        self.places_of_orders: dict[UUID, int] = {}
        """For every order placed, the place of that event in the batch."""
        self.places_of_invoices: dict[str, int] = {}
        """The same for every invoice."""
        self.balances = Balances()
        self.dead_letters: list[tuple[int, str, UUID | None, str, str, bytes, tuple[str, ...], bool]] = []
        self.reactions: dict[str, int | None] = {}
        self.erasure = Erasure()
        self.outbox = Outbox()

    def numbers_of_invoices(self, numbers: Mapping[int, str]) -> dict[str, str]:
        """The numbers of the invoices, by id; `numbers` are by place."""
        return {invoice_id: numbers[place] for invoice_id, place in self.places_of_invoices.items()}

    def add_numbers_of_invoices(self, inserts: Inserts, numbers: Mapping[int, str]) -> None:
        """Adds the update that gives the invoices, whose rows are already written, their numbers."""
        if given := self.numbers_of_invoices(numbers):
            arguments = (list(given), list(given.values()))
            inserts.add_part(Part("numbered_invoices", _NUMBER_INVOICES, arguments, len(given)))

    def move_reaction(self, name: str, position: int | None) -> None:
        """Makes a reaction continue after `position` (None: after the end of the log before this batch), and ends its
        current run, if any. A new reaction begins there."""
        self.reactions[name] = position

    @property
    def fit_one_statement(self) -> bool:
        """Whether one statement can write all of it."""
        return not (self.dead_letters or self.reactions or self.erasure or self.outbox.retries)

    async def write(self, connection: Connection) -> None:
        """Writes what can be written before the batch has its places in the log."""
        await self.erasure.lock(connection)
        if self.reactions:
            await connection.execute(
                """
                INSERT INTO reactions (name, position, updated_at)
                SELECT v.name, greatest(least(coalesce(v.position, c.last_seq), c.last_seq), l.first_seq - 1), now()
                FROM unnest($1::text[], $2::bigint[]) AS v (name, position), event_counter c, log_start l
                ORDER BY v.name
                ON CONFLICT (name) DO UPDATE SET position = excluded.position, failures = 0, blamed = 0,
                    failing_since = NULL,
                    last_error = NULL, due_at = NULL, lease_token = NULL, lease_until = NULL, updated_at = now()
                """,
                list(self.reactions),
                list(self.reactions.values()),
            )

    async def write_placed(self, connection: Connection, at: datetime) -> None:
        """Writes the rows that record their moment. Dead letters are always copied, however few: each holds an array,
        which the column arrays of `workers/inserts.py` cannot carry."""
        if self.dead_letters:
            await connection.copy_records_to_table(
                "dead_letters", records=[(*letter, at) for letter in self.dead_letters], columns=_DEAD_LETTER_COLUMNS
            )


def add_lines(inserts: Inserts, loaded: Loaded) -> None:
    """Adds the lines of every new order."""
    before = loaded.before[Order]
    inserts.add(
        _LINES,
        [
            (order.order_id, position, line.sku, line.quantity, line.unit_price_minor)
            for key, order in loaded.shop.orders.items()
            if key not in before
            for position, line in enumerate(order.lines)
        ],
    )


async def write_orders(
    connection: Connection,
    inserts: Inserts,
    loaded: Loaded,
    places: Mapping[UUID, int],
    first: int,
    numbers: Mapping[int, str],
    at: datetime,
) -> None:
    """Adds every new order, with its number, and every changed one. `places` are the places in the batch, which begins
    at `first`, of the events that placed the orders; `numbers` are by place."""
    before = loaded.before[Order]
    new = {key: order for key, order in loaded.shop.orders.items() if key not in before}
    if new:
        if erased := await erased_customers(connection, new.values()):
            new = {key: _without_address(order) if order.customer_id in erased else order for key, order in new.items()}
        inserts.add(
            _NEW_ORDERS,
            [
                (*orders.row(replace(order, number=numbers[places[key]])), at, at, first + places[key])
                for key, order in new.items()
            ],
        )
    changed = [order for key, order in loaded.shop.orders.items() if key in before and before[key] is not order]
    if changed:
        columns = list(zip(*map(orders.row, changed), strict=True))
        inserts.add_part(Part("changed_orders", _CHANGE_ORDERS, columns, len(changed)))


def _without_address(order: Order) -> Order:
    return replace(order, email=None)


def written_entities(loaded: Loaded, numbers: Mapping[str, str]) -> list[Part] | None:
    """Every new or changed entity, as parts of a statement; None if a guard has to be moved for one. `numbers` are
    those of invoices, by id."""
    parts = []
    for entity_table in ENTITIES:
        made, changed = _written(entity_table, loaded)
        if entity_table.guard is not None and _has_moved(entity_table, entity_table.guard, loaded, made, changed):
            return None
        if entity_table.state is Invoice:
            made = [replace(each, number=numbers.get(each.id)) for each in made if isinstance(each, Invoice)]
        for what, states in (("added_to", made), ("changed", changed)):
            if states:
                columns, rows = entities.as_json(entity_table, states)
                query = entities.writing(entity_table, columns, "places.at", new=states is made, beside="places, ")
                parts.append(Part(f"{what}_{entity_table.table.name}", query, (rows,)))
    return parts


async def write_entities(connection: Connection, loaded: Loaded, at: datetime) -> set[str]:
    """Writes every new or changed entity; returns the names of the guards that have to be moved."""
    moved_guards: set[str] = set()
    for entity_table in ENTITIES:
        made, changed = _written(entity_table, loaded)
        if made:
            await entities.write(connection, entity_table, made, at, new=True)
        if changed:
            await entities.write(connection, entity_table, changed, at, new=False)
        if entity_table.guard is not None and _has_moved(entity_table, entity_table.guard, loaded, made, changed):
            moved_guards.add(entity_table.guard.name)
    return moved_guards


def written_checkouts(loaded: Loaded) -> list[Checkout]:
    """The new or changed checkouts."""
    made, changed = _written(table_of(Checkout), loaded)
    return [state for state in (*made, *changed) if isinstance(state, Checkout)]


def _has_moved(
    entity_table: EntityTable, guard: Guard, loaded: Loaded, made: Sequence[Entity], changed: Sequence[Entity]
) -> bool:
    """Whether anything that the guard guards has changed."""
    if made and guard.new_rows:
        return True
    before = loaded.before.get(entity_table.state, {})
    return any(
        entity_table.guarded(before[getattr(state, entity_table.key)]) != entity_table.guarded(state)
        for state in changed
    )


async def move_entities(connection: Connection, loaded: Loaded, at: datetime) -> None:
    """Corrects the moment of what `write_entities` wrote to `at`, which is known once the batch has its places."""
    for entity_table in ENTITIES:
        made, changed = _written(entity_table, loaded)
        if made:
            await entities.move(connection, entity_table, made, at, new=True)
        if changed:
            await entities.move(connection, entity_table, changed, at, new=False)


def _written(entity_table: EntityTable, loaded: Loaded) -> tuple[list[Entity], list[Entity]]:
    """The new states of an entity, and the changed ones."""
    before = loaded.before.get(entity_table.state, {})
    states = loaded.shop.of(entity_table.state)
    made = [state for key, state in states.items() if key not in before]
    changed = [state for key, state in states.items() if key in before and before[key] is not state]
    return made, changed


_LINES: Final = Columns(tables.order_lines, orders.LINE_COLUMNS)
_NEW_ORDERS: Final = Columns(
    tables.orders,
    (*orders.COLUMNS, "placed_at", "updated_at", "placed_seq"),
    ("placed_seq",),
    ("placed_at", "updated_at"),
)
_DEAD_LETTER_COLUMNS = (
    "mailbox",
    "entry_id",
    "command_id",
    "code",
    "detail",
    "entry",
    "lost",
    "understood",
    "failed_at",
)
