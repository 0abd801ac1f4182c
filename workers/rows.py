"""What a batch reads and what it writes, table by table: one statement each, over arrays, however long the batch.
Orders and stock stand here, the log in `workers/eventlog.py`; every other entity is carried by `runtime/entities.py`.

The lock order of the whole system stands here: mailbox position, then orders by id, then the rows of entities, then the
event counter. Whoever writes orders, stock or the log holds the counter, until the commit; so seq follows commit order,
an order knows its place in the log, and stock needs no locks of its own. A reaction's row is locked by whoever runs it,
for one statement, and by the commands of one mailbox only: it can come anywhere. Only a batch that holds the counter
from the start comes to its entities late: it gives way at once to whoever has them and waits for the counter.

Stock is written as changes to what is there, not as what was seen there. So a batch may decide before it holds the
counter: if there still is as much as it needed at its worst moment, and still too little for everybody whom it refused,
it does not matter who came in between. Only a guess that does not hold is decided again, with the counter held from the
start; so a sold-out shelf costs nothing.

Prices are guarded by the counter as well: its row says at which seq one last changed. A batch that was decided on what
was there before is decided again, so that no order is placed at a price that the log has already changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from domain.catalogue import Variant
from domain.model import Entity, Line, Offer, Order, Shop, Stock
from runtime import entities, orders, tables
from runtime.entities import ENTITIES, EntityTable, table_of, type_of
from workers.erasing import Erasure, erased_customers
from workers.inserts import Columns, Inserts
from workers.ownership import Writes

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
    """The rows that a batch's commands are decided on. `counted` are the SKUs of which a command must know exactly what
    is on hand, and not only that there is enough."""

    skus: set[str] = msgspec.field(default_factory=set)
    order_ids: set[UUID] = msgspec.field(default_factory=set)
    entities: dict[tuple[type[Entity], str | None], set[Any]] = msgspec.field(default_factory=dict)
    counted: set[str] = msgspec.field(default_factory=set)

    def add(self, kind: type[Entity], key: Any, *, by: str | None = None) -> None:
        """Asks for the states of an entity with this key, or this value in the column `by`."""
        self.entities.setdefault((kind, by or table_of(kind).key), set()).add(key)

    def add_all(self, kind: type[Entity]) -> None:
        """Asks for every state of an entity; only for those that are few."""
        self.entities[kind, None] = set()


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """The shop as it was loaded; its orders and entities as they were then, and what was written to them since; the
    seq of the last change of a price that it knows of; what was on hand of what must be known exactly."""

    shop: Shop
    before: dict[type, dict[Any, Any]]
    writes: Writes
    prices_seq: int | None
    counted: dict[str, int]


async def load(connection: Connection, read_set: ReadSet, *, alone: bool) -> Loaded:
    """The shop as far as `needs` goes. Its orders are locked until the commit, and with `alone` the event counter, so
    that nobody else writes stock; then writing an entity raises LockNotAvailableError if another batch is at it."""
    shop, before = Shop(), dict[type, dict[Any, Any]]()
    prices_seq: int | None = None
    skus = set(read_set.skus)
    if read_set.order_ids:
        shop.orders = await _load_orders(connection, read_set.order_ids)
        skus.update(line.sku for order in shop.orders.values() for line in order.lines)
    if alone:
        await connection.execute("SELECT FROM event_counter FOR UPDATE")
        if read_set.entities:
            await connection.execute(_GIVE_WAY)
    if skus:
        rows = await connection.fetch(
            """
            SELECT s.sku, s.on_hand, s.reserved, v.price_minor, v.currency, v.on_sale, c.prices_seq
            FROM stock s JOIN variants v USING (sku) CROSS JOIN event_counter c WHERE s.sku = ANY($1::text[])
            """,
            list(skus),
        )
        for sku, on_hand, reserved, price_minor, currency, on_sale, prices_seq in rows:  # noqa: B007 - the same in all
            shop.stock[sku] = Stock(on_hand, reserved)
            shop.offers[sku] = Offer(sku, price_minor, currency, on_sale)
    for (kind, column), values in read_set.entities.items():
        entity_table = table_of(kind)
        for state in await entities.load(connection, entity_table, column, values):
            before.setdefault(kind, {})[getattr(state, entity_table.key)] = state
    before[Order] = shop.orders
    writes = Writes()
    shop.orders = writes.watched(shop.orders)
    shop.others = {entity_table.state: writes.watched(before.get(entity_table.state, {})) for entity_table in ENTITIES}
    counted = {sku: shop.stock[sku].on_hand for sku in read_set.counted if sku in shop.stock}
    return Loaded(shop, before, writes, prices_seq, counted)


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


class StockMove(msgspec.Struct, gc=False):
    """What a batch does to one SKU: what it adds, and how many pieces it had taken from what was available when it had
    taken the most. An order that is cancelled in the same batch leaves no change, but it needed its pieces. `lacked` is
    how many would have had to be there for the least of the commands that were refused for want of them."""

    on_hand: int = 0
    reserved: int = 0
    most_taken: int = 0
    lacked: int | None = None


_MOVE = """
    UPDATE stock s SET on_hand = s.on_hand + v.on_hand, reserved = s.reserved + v.reserved
    FROM unnest($1::text[], $2::int[], $3::int[], $4::int[]) AS v (sku, on_hand, reserved, most_taken)
    WHERE s.sku = v.sku AND s.on_hand - s.reserved >= v.most_taken
"""

# What was refused for want of pieces must still lack them, and what was counted be what it was. It is only looked at:
# a sold-out shelf is not written. Whoever holds the counter sees what everybody before has written.
_LOOK = """
    SELECT count(*) FROM stock s JOIN unnest($1::text[], $2::int[], $3::int[]) AS v (sku, lacked, counted) USING (sku)
    WHERE (v.lacked IS NULL OR s.on_hand - s.reserved < v.lacked) AND (v.counted IS NULL OR s.on_hand = v.counted)
"""


class Rows:
    """What a batch writes besides the states that it changed, gathered by the handlers. What says when it happened, or
    where in the log, is written when the batch has its places there."""

    def __init__(self) -> None:
        self.place = 0
        """The place in the batch of the event whose rows are being gathered."""
        self.places_of_orders: dict[UUID, int] = {}
        """Of every order that was placed, the place of that event in the batch."""
        self.stock: dict[str, StockMove] = {}
        self.dead_letters: list[tuple[int, str, UUID | None, str, str, bytes, tuple[str, ...], bool]] = []
        self.reactions: dict[str, int | None] = {}
        self.erasure = Erasure()

    def move_reaction(self, name: str, position: int | None) -> None:
        """Has a reaction go on behind `position`, None for the log's end as it is before this batch; a run that is in
        the middle of something else ends. A reaction that nobody has heard of begins there."""
        self.reactions[name] = position

    def move_stock(self, sku: str, on_hand: int, reserved: int) -> None:
        """Adds to what is on hand and what is reserved of a SKU."""
        move = self.stock.get(sku)
        if move is None:
            move = self.stock[sku] = StockMove()
        move.on_hand += on_hand
        move.reserved += reserved
        taken = move.reserved - move.on_hand
        if taken > move.most_taken:
            move.most_taken = taken

    def lack_stock(self, sku: str, quantity: int) -> None:
        """Notes that a command was refused that would have taken so many pieces."""
        move = self.stock.get(sku)
        if move is None:
            move = self.stock[sku] = StockMove()
        needed = move.reserved - move.on_hand + quantity
        if move.lacked is None or needed < move.lacked:
            move.lacked = needed

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
        """Writes what says when it happened."""
        if self.dead_letters:
            await connection.copy_records_to_table(
                "dead_letters", records=[(*letter, at) for letter in self.dead_letters], columns=_DEAD_LETTER_COLUMNS
            )

    async def write_stock(self, connection: Connection, counted: Mapping[str, int]) -> bool:
        """Moves the stock; the counter must be held. False if of some SKU there was less than the batch needed, or as
        much as it had refused somebody, or of one in `counted` another number on hand."""
        looked_at = [sku for sku, move in self.stock.items() if move.lacked is not None]
        looked_at.extend(sku for sku in counted if sku not in self.stock or self.stock[sku].lacked is None)
        if looked_at:
            lacked = [move.lacked if (move := self.stock.get(sku)) else None for sku in looked_at]
            so_still: int = await connection.fetchval(_LOOK, looked_at, lacked, [counted.get(s) for s in looked_at])
            if so_still != len(looked_at):
                return False
        moves = {sku: move for sku, move in self.stock.items() if move.on_hand or move.reserved or move.most_taken}
        if not moves:
            return True
        done: str = await connection.execute(
            _MOVE,
            list(moves),
            [move.on_hand for move in moves.values()],
            [move.reserved for move in moves.values()],
            [move.most_taken for move in moves.values()],
        )
        return done == f"UPDATE {len(moves)}"


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


async def write_entities(connection: Connection, loaded: Loaded, at: datetime) -> bool:
    """Writes every state that is another than was loaded; returns whether something is now sold for another price, or
    no longer."""
    for entity_table in ENTITIES:
        made, changed = _written(entity_table, loaded)
        if made:
            await entities.write(connection, entity_table, made, at, new=True)
        if changed:
            await entities.write(connection, entity_table, changed, at, new=False)
    variants: dict[str, Variant] = loaded.shop.of(Variant)
    known: dict[str, Variant] = loaded.before.get(Variant, {})
    if added := [sku for sku in variants if sku not in known]:
        await connection.execute("INSERT INTO stock (sku) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", added)
    return any(_offer(variants[sku]) != _offer(variant) for sku, variant in known.items())


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


def _offer(variant: Variant) -> tuple[int, str, bool]:
    return variant.price_minor, variant.currency, variant.on_sale


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
