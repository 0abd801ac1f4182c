"""What a batch reads and what it writes, table by table: one statement each, over arrays, however long the batch.
Orders stand here, balances in `workers/guarded.py`, the log in `workers/eventlog.py`; every other entity is carried by
`runtime/entities.py`.

The lock order of the whole system stands here: mailbox positions, then orders by id, then the rows of entities, then
the event counter. Whoever writes orders, balances or the log holds the counter until the commit; so seq follows commit
order, an order knows its place in the log, and balances need no locks of their own. A reaction's row is locked by
whoever runs it, for one statement, and by the commands of one mailbox only: it can come anywhere. Only a batch that
holds the counter from the start comes to its entities late: it gives way at once to whoever has them and waits for the
counter.

Balances are written as changes, and looked at as they are (see `workers/guarded.py`): so a batch may decide before it
holds the counter, and only one whose reads have gone stale is decided again, with the counter held from the start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from domain.ledgers import Balance, Ledger
from domain.model import Entity, Line, Offer, Order, Shop
from runtime import entities, orders, tables
from runtime.entities import ENTITIES, PRICES, EntityTable, Guard, table_of, type_of
from runtime.ledgers import LEDGERS, LedgerTable
from workers.erasing import Erasure, erased_customers
from workers.guarded import Balances, Stands
from workers.inserts import Columns, Inserts
from workers.ownership import Writes
from workers.tasks.outbox import Outbox

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"

# Everybody waits behind who holds the counter, so it waits for no row for longer.
_GIVE_WAY = "SET LOCAL lock_timeout = '50ms'"


_COLUMNS = ", ".join(orders.COLUMNS)
_ORDERS = f"SELECT {_COLUMNS} FROM orders WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"  # noqa: S608 - names of ours

_CHANGE_ORDERS = f"""
    UPDATE orders o SET {", ".join(f"{name} = v.{name}" for name in orders.COLUMNS[1:])}, updated_at = $1
    FROM unnest({", ".join(f"${n}::{type_of(tables.orders, c)}[]" for n, c in enumerate(orders.COLUMNS, start=2))})
        AS v ({_COLUMNS}) WHERE o.id = v.id
"""  # noqa: S608 - names of ours


class ReadSet(msgspec.Struct):
    """The rows that a batch's commands are decided on. `skus` are those whose offers it needs; `exact` are balances of
    which a command must know exactly what is posted, and not only that there is enough; `guards` are checked before
    anything is written that was decided on what stands behind them."""

    skus: set[str] = msgspec.field(default_factory=set)
    order_ids: set[UUID] = msgspec.field(default_factory=set)
    entities: dict[tuple[type[Entity], str | None], set[Any]] = msgspec.field(default_factory=dict)
    balances: dict[Ledger, set[str]] = msgspec.field(default_factory=dict)
    exact: set[tuple[Ledger, str]] = msgspec.field(default_factory=set)
    guards: set[str] = msgspec.field(default_factory=set)

    def add(self, kind: type[Entity], key: Any, *, by: str | None = None) -> None:
        """Asks for the entities with this key, or this value in the column `by`."""
        self.entities.setdefault((kind, by or table_of(kind).key), set()).add(key)

    def add_all(self, kind: type[Entity]) -> None:
        """Asks for every entity of a kind; only for kinds of which there are few."""
        self.entities[kind, None] = set()

    def consult(self, kind: type[Entity], key: Any) -> None:
        """Asks for an entity that another slot owns: if it changes meanwhile, the batch is decided again."""
        guard = table_of(kind).guard
        assert guard is not None, f"{kind.__name__} stands behind no guard"
        self.guards.add(guard.name)
        self.add(kind, key)

    def balances_of(self, ledger: Ledger) -> set[str]:
        """The keys whose balances in this ledger are asked for."""
        return self.balances.setdefault(ledger, set())

    def add_balance(self, ledger: Ledger, key: str, *, exact: bool = False) -> None:
        """Asks for a balance. One that has no row gets it with its first move."""
        self.balances_of(ledger).add(key)
        if exact:
            self.exact.add((ledger, key))


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """The shop as it was loaded; its orders and entities as they were then, and what was written to them since; and
    what must still be so when it is written back."""

    shop: Shop
    before: dict[type, dict[Any, Any]]
    writes: Writes
    stands: Stands


async def load(connection: Connection, read_set: ReadSet, *, alone: bool) -> Loaded:
    """The shop as far as `read_set` goes. Its orders are locked until the commit, and with `alone` the event counter,
    so that nobody else moves a balance; then writing an entity raises LockNotAvailableError if another batch is at it.
    """
    shop, before = Shop(), dict[type, dict[Any, Any]]()
    if read_set.order_ids:
        shop.orders = await _load_orders(connection, read_set.order_ids)
    if alone:
        await connection.execute("SELECT FROM event_counter FOR UPDATE")
        if read_set.entities:
            await connection.execute(_GIVE_WAY)
    stands = await _load_what_may_move(connection, read_set, shop)
    for (kind, column), values in read_set.entities.items():
        entity_table = table_of(kind)
        for state in await entities.load(connection, entity_table, column, values):
            before.setdefault(kind, {})[getattr(state, entity_table.key)] = state
    before[Order] = shop.orders
    writes = Writes()
    shop.orders = writes.watched(shop.orders)
    shop.others = {entity_table.state: writes.watched(before.get(entity_table.state, {})) for entity_table in ENTITIES}
    return Loaded(shop, before, writes, stands)


async def _load_what_may_move(connection: Connection, read_set: ReadSet, shop: Shop) -> Stands:
    """Loads offers and balances, and with them the seqs of their guards: in one statement, so that they belong
    together. Entities that are consulted are loaded later, which can only make a guard look older than it was."""
    guards = {*read_set.guards, PRICES} if read_set.skus else read_set.guards
    tables = tuple(table for table in LEDGERS if table.ledger in read_set.balances)
    if not (guards or tables):
        return Stands()
    keys = [read_set.balances[table.ledger] for table in tables]
    seqs: dict[str, int] = {}
    places = [shop.balances_of(table.ledger) for table in tables]
    for place, key, first, second, currency, on_sale in await connection.fetch(
        _what_may_move(tables), list(guards), list(read_set.skus), *map(list, keys)
    ):
        if place >= 0:
            places[place][key] = Balance(first, second)
        elif place == _OFFERS:
            shop.offers[key] = Offer(key, first, currency, on_sale)
        else:
            seqs[key] = first
    exact: dict[Ledger, dict[str, int]] = {}
    for ledger, key in read_set.exact:
        exact.setdefault(ledger, {})[key] = shop.balance(ledger, key).posted
    absent = {table.ledger: asked - found.keys() for table, asked, found in zip(tables, keys, places, strict=True)}
    return Stands(seqs, exact, absent)


_GUARDS: Final = -2
_OFFERS: Final = -1


@cache
def _what_may_move(tables: tuple[LedgerTable, ...]) -> str:
    """The statement that loads it; the rows of ledgers are numbered by the ledger's place."""
    balances = [
        f" UNION ALL SELECT {place}, {t.key}, {t.posted}, {t.pending}, NULL, NULL FROM {t.table.name}"  # noqa: S608
        f" WHERE {t.key} = ANY(${place + 3}::text[])"
        for place, t in enumerate(tables)
    ]
    return f"""
        SELECT {_GUARDS}, v.name, coalesce(g.seq, 0), 0, NULL::text, NULL::boolean
        FROM unnest($1::text[]) AS v (name) LEFT JOIN guards g USING (name)
        UNION ALL SELECT {_OFFERS}, sku, price_minor, 0, currency, on_sale FROM variants WHERE sku = ANY($2::text[])
        {"".join(balances)}
    """  # noqa: S608 - names of ours


async def _load_orders(connection: Connection, order_ids: set[UUID]) -> dict[UUID, Order]:
    ids = list(order_ids)
    rows = await connection.fetch(_ORDERS, ids)
    lines: dict[UUID, list[Line]] = defaultdict(list)
    for order_id, *line in await connection.fetch(
        """
        SELECT order_id, sku, quantity, unit_price_minor FROM order_lines
        WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, position
        """,
        ids,
    ):
        lines[order_id].append(Line(*line))
    return {row["id"]: orders.order(row, lines[row["id"]]) for row in rows}


class Rows:
    """What a batch writes besides the states that it changed, gathered by the handlers. What says when it happened, or
    where in the log, is written when the batch has its places there."""

    def __init__(self) -> None:
        self.place = 0
        """The place in the batch of the event whose rows are being gathered."""
        self.places_of_orders: dict[UUID, int] = {}
        """Of every order that was placed, the place of that event in the batch."""
        self.balances = Balances()
        self.dead_letters: list[tuple[int, str, UUID | None, str, str, bytes, tuple[str, ...], bool]] = []
        self.reactions: dict[str, int | None] = {}
        self.erasure = Erasure()
        self.outbox = Outbox()

    def move_reaction(self, name: str, position: int | None) -> None:
        """Has a reaction go on behind `position`, None for the log's end as it is before this batch; a run that is in
        the middle of something else ends. A reaction that nobody has heard of begins there."""
        self.reactions[name] = position

    async def write(self, connection: Connection) -> None:
        """Writes what can be written before the batch has its places in the log."""
        await self.erasure.lock(connection)
        if self.reactions:
            await connection.execute(
                """
                INSERT INTO reactions (name, position, updated_at)
                SELECT v.name, least(coalesce(v.position, c.last_seq), c.last_seq), now()
                FROM unnest($1::text[], $2::bigint[]) AS v (name, position), event_counter c ORDER BY v.name
                ON CONFLICT (name) DO UPDATE SET position = excluded.position, failures = 0, blamed = 0,
                    failing_since = NULL,
                    last_error = NULL, due_at = NULL, lease_token = NULL, lease_until = NULL, updated_at = now()
                """,
                list(self.reactions),
                list(self.reactions.values()),
            )

    async def write_placed(self, connection: Connection, at: datetime) -> None:
        """Writes what says when it happened. Dead letters are copied, however few: each has an array of its own, and
        `workers/inserts.py` takes an array for each column."""
        if self.dead_letters:
            await connection.copy_records_to_table(
                "dead_letters", records=[(*letter, at) for letter in self.dead_letters], columns=_DEAD_LETTER_COLUMNS
            )


def add_lines(inserts: Inserts, loaded: Loaded) -> None:
    """Adds the lines of every order that is new."""
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
    connection: Connection, inserts: Inserts, loaded: Loaded, seqs: Mapping[UUID, int], at: datetime
) -> None:
    """Adds every order that is new, placed at its seq, and writes every one that is another than was loaded."""
    before = loaded.before[Order]
    new = {key: order for key, order in loaded.shop.orders.items() if key not in before}
    if new:
        if erased := await erased_customers(connection, new.values()):
            new = {key: _without_address(order) if order.customer_id in erased else order for key, order in new.items()}
        inserts.add(_NEW_ORDERS, [(*orders.row(order), at, at, seqs[key]) for key, order in new.items()])
    changed = [order for key, order in loaded.shop.orders.items() if key in before and before[key] is not order]
    if changed:
        await connection.execute(_CHANGE_ORDERS, at, *map(list, zip(*map(orders.row, changed), strict=True)))


def _without_address(order: Order) -> Order:
    return msgspec.structs.replace(order, email=None)


async def write_entities(connection: Connection, loaded: Loaded, at: datetime) -> set[str]:
    """Writes every entity that is another than was loaded; returns the guards of what has changed."""
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


def _has_moved(
    entity_table: EntityTable, guard: Guard, loaded: Loaded, made: Sequence[Entity], changed: Sequence[Entity]
) -> bool:
    """Whether what stands behind the guard is another than was loaded."""
    if made and guard.new_rows:
        return True
    before = loaded.before.get(entity_table.state, {})
    return any(
        entity_table.guarded(before[getattr(state, entity_table.key)]) != entity_table.guarded(state)
        for state in changed
    )


async def move_entities(connection: Connection, loaded: Loaded, at: datetime) -> None:
    """What `write_entities` wrote happened `at`, as it turned out when the batch got its places in the log."""
    for entity_table in ENTITIES:
        made, changed = _written(entity_table, loaded)
        if made:
            await entities.move(connection, entity_table, made, at, new=True)
        if changed:
            await entities.move(connection, entity_table, changed, at, new=False)


def _written(entity_table: EntityTable, loaded: Loaded) -> tuple[list[Entity], list[Entity]]:
    """The states of an entity that are new, and those that are others than were loaded."""
    before = loaded.before.get(entity_table.state, {})
    states = loaded.shop.of(entity_table.state)
    made = [state for key, state in states.items() if key not in before]
    changed = [state for key, state in states.items() if key in before and before[key] is not state]
    return made, changed


_LINES: Final = Columns(tables.order_lines, orders.LINE_COLUMNS)
_NEW_ORDERS: Final = Columns(tables.orders, (*orders.COLUMNS, "placed_at", "updated_at", "placed_seq"))
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
