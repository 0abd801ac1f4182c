"""What a batch reads and what it writes, table by table: one statement each, over arrays, however long the batch.
Orders, stock and the log stand here; every other noun is carried by `runtime/nouns.py`.

The lock order of the whole system stands here, and nobody locks in any other: mailbox position, then orders by id,
then the event counter. Whoever writes stock or the log holds the counter, until the commit; so seq follows commit
order, and stock needs no locks of its own.

Stock is written as changes to what is there, not as what was seen there. So a batch may decide before it holds the
counter: if everybody got what they asked for, and there still is as much as the batch needed at its worst moment, it
does not matter who came in between. Only when something runs short does it have to hold the counter from the start.

Prices are guarded by the counter as well: its row says at which seq one last changed. A batch that was decided on what
was there before is decided again, so that no order is placed at a price that the log has already changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import msgspec

from domain.catalogue import Variant
from domain.model import Line, Offer, Order, Shop, Stock
from runtime import nouns
from runtime.envelope import Envelope
from runtime.records import moment

Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"


class Needs(msgspec.Struct):
    """The rows that a batch's commands are decided on. `alone` is set by a command that must know a stock exactly, and
    not only that there is enough of it."""

    skus: set[str] = msgspec.field(default_factory=set)
    order_ids: set[UUID] = msgspec.field(default_factory=set)
    nouns: dict[tuple[type[msgspec.Struct], str | None], set[Any]] = msgspec.field(default_factory=dict)
    alone: bool = False

    def need(self, kind: type[msgspec.Struct], key: Any, *, by: str | None = None) -> None:
        """Asks for the states of a noun with this key, or this value in the column `by`."""
        self.nouns.setdefault((kind, by or nouns.noun_of(kind).key), set()).add(key)

    def need_all(self, kind: type[msgspec.Struct]) -> None:
        """Asks for every state of a noun; only for those that are few."""
        self.nouns[kind, None] = set()


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """The shop as it was loaded, the states of its nouns as they were then, and the seq of the last change of a price
    that it knows of."""

    shop: Shop
    before: dict[type, dict[Any, Any]]
    prices_seq: int | None


async def load(connection: Connection, needs: Needs, *, alone: bool) -> Loaded:
    """The shop as far as `needs` goes. Its orders are locked until the commit, and with `alone` the event counter, so
    that nobody else writes stock."""
    shop = Shop()
    prices_seq: int | None = None
    skus = set(needs.skus)
    if needs.order_ids:
        shop.orders = await _load_orders(connection, needs.order_ids)
        skus.update(line.sku for order in shop.orders.values() for line in order.lines)
    if alone:
        await connection.execute("SELECT FROM event_counter FOR UPDATE")
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
    for (kind, column), values in needs.nouns.items():
        noun = nouns.noun_of(kind)
        for state in await nouns.load(connection, noun, column, values):
            shop.of(kind)[getattr(state, noun.key)] = state
    return Loaded(shop, {kind: dict(states) for kind, states in shop.others.items()}, prices_seq)


async def _load_orders(connection: Connection, order_ids: set[UUID]) -> dict[UUID, Order]:
    ids = list(order_ids)
    orders = await connection.fetch(
        """
        SELECT id, customer_id, status, currency, total_minor, email FROM orders
        WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
        """,
        ids,
    )
    lines: dict[UUID, list[Line]] = defaultdict(list)
    for order_id, *line in await connection.fetch(
        "SELECT order_id, sku, quantity, unit_price_minor FROM order_lines WHERE order_id = ANY($1::uuid[])", ids
    ):
        lines[order_id].append(Line(*line))
    return {
        order_id: Order(order_id, customer_id, status, currency, total_minor, tuple(lines[order_id]), email)
        for order_id, customer_id, status, currency, total_minor, email in orders
    }


class CommandRow(msgspec.Struct, frozen=True, gc=False):
    """One command as its row in `commands` records it; `first_event` is the place of its first event in the batch."""

    envelope: Envelope
    entry_id: str
    request: bytes
    type: str
    status: str
    first_event: int
    event_count: int
    owns_key: bool


class StockMove(msgspec.Struct, gc=False):
    """What a batch does to one SKU: what it adds, and how many pieces it had taken from what was available when it had
    taken the most. An order that is cancelled in the same batch leaves no change, but it needed its pieces."""

    on_hand: int = 0
    reserved: int = 0
    most_taken: int = 0


class Told(msgspec.Struct, frozen=True, gc=False):
    """One event of the batch, before it has its place in the log. `data` is its JSON."""

    type: str
    subject: str
    command_id: UUID
    actor: str
    data: bytes


class Rows:
    """Everything a batch writes, gathered by the handlers, written at once."""

    def __init__(self) -> None:
        self.orders: list[tuple[UUID, str, str, str, int, datetime, datetime, str | None]] = []
        self.order_statuses: dict[UUID, tuple[str, datetime]] = {}
        self.lines: list[tuple[UUID, str, int, int]] = []
        self.stock: dict[str, StockMove] = {}
        self.dead_letters: list[tuple[int, str, UUID | None, str, str, bytes, datetime]] = []

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

    async def write(self, connection: Connection) -> None:
        """Writes all but stock and the log."""
        if self.orders:
            await connection.copy_records_to_table("orders", records=self.orders, columns=_ORDER_COLUMNS)
        if self.lines:
            await connection.copy_records_to_table("order_lines", records=self.lines, columns=_LINE_COLUMNS)
        if self.order_statuses:
            await connection.execute(
                """
                UPDATE orders o SET status = v.status, updated_at = v.at
                FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS v (id, status, at) WHERE o.id = v.id
                """,
                list(self.order_statuses),
                [status for status, _ in self.order_statuses.values()],
                [at for _, at in self.order_statuses.values()],
            )
        if self.dead_letters:
            await connection.copy_records_to_table(
                "dead_letters", records=self.dead_letters, columns=_DEAD_LETTER_COLUMNS
            )

    async def write_stock(self, connection: Connection) -> bool:
        """Moves the stock; the counter must be held. False if of some SKU there was less than the batch needed."""
        if not self.stock:
            return True
        moves = self.stock.values()
        done: str = await connection.execute(
            """
            UPDATE stock s SET on_hand = s.on_hand + v.on_hand, reserved = s.reserved + v.reserved
            FROM unnest($1::text[], $2::int[], $3::int[], $4::int[]) AS v (sku, on_hand, reserved, most_taken)
            WHERE s.sku = v.sku AND s.on_hand - s.reserved >= v.most_taken
            """,
            list(self.stock),
            [move.on_hand for move in moves],
            [move.reserved for move in moves],
            [move.most_taken for move in moves],
        )
        return done == f"UPDATE {len(moves)}"


async def write_nouns(connection: Connection, loaded: Loaded, at: datetime) -> bool:
    """Writes every state that is another than was loaded; returns whether something is now sold for another price, or
    no longer."""
    for noun in nouns.NOUNS:
        before = loaded.before.get(noun.state, {})
        changed = [state for key, state in loaded.shop.of(noun.state).items() if before.get(key) is not state]
        if changed:
            await nouns.write(connection, noun, changed, at)
    variants: dict[str, Variant] = loaded.shop.of(Variant)
    known: dict[str, Variant] = loaded.before.get(Variant, {})
    if added := [sku for sku in variants if sku not in known]:
        await connection.execute("INSERT INTO stock (sku) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING", added)
    return any(_offer(variants[sku]) != _offer(variant) for sku, variant in known.items())


def _offer(variant: Variant) -> tuple[int, str, bool]:
    return variant.price_minor, variant.currency, variant.on_sale


class Places(msgspec.Struct, frozen=True, gc=False):
    """Places in the log, from `first` on, and the seq at which a price had last changed when they were taken."""

    first: int
    prices_seq: int


async def take_places(connection: Connection, count: int, *, prices_moved: bool) -> Places:
    """Takes the next `count` places in the log, and with them the counter, until the commit."""
    first, prices_seq = await connection.fetchrow(
        "UPDATE event_counter SET last_seq = last_seq + $1 RETURNING last_seq - $1 + 1, prices_seq", count
    )
    if prices_moved:
        await connection.execute("UPDATE event_counter SET prices_seq = last_seq")
    return Places(first, prices_seq)


async def write_log(
    connection: Connection, mailbox: int, first: int, told: Sequence[Told], applied: Sequence[CommandRow], at: datetime
) -> None:
    """Writes the events to their places in the log, from `first` on, and with them the commands' records."""
    await connection.copy_records_to_table(
        "events",
        records=[
            (seq, event.type, event.subject, event.command_id, event.actor, at, event.data.decode())
            for seq, event in enumerate(told, start=first)
        ],
        columns=_EVENT_COLUMNS,
    )
    await connection.copy_records_to_table(
        "commands",
        records=[_command_row(command, mailbox, first, at) for command in applied],
        columns=_COMMAND_COLUMNS,
    )


def _command_row(command: CommandRow, mailbox: int, first_seq: int, at: datetime) -> tuple[object, ...]:
    envelope = command.envelope
    return (
        envelope.command_id,
        command.type,
        envelope.principal,
        moment(envelope.accepted_at),
        at,
        mailbox,
        command.entry_id,
        command.status,
        first_seq + command.first_event,
        command.event_count,
        envelope.idempotency_key if command.owns_key else None,
        envelope.fingerprint if command.owns_key else None,
        command.request,
    )


_ORDER_COLUMNS = ("id", "customer_id", "status", "currency", "total_minor", "placed_at", "updated_at", "email")
_LINE_COLUMNS = ("order_id", "sku", "quantity", "unit_price_minor")
_DEAD_LETTER_COLUMNS = ("mailbox", "entry_id", "command_id", "code", "detail", "entry", "failed_at")
_EVENT_COLUMNS = ("seq", "type", "subject", "command_id", "actor", "occurred_at", "data")
_COMMAND_COLUMNS = (
    "id",
    "type",
    "principal",
    "accepted_at",
    "applied_at",
    "mailbox",
    "entry_id",
    "status",
    "seq",
    "event_count",
    "idempotency_key",
    "fingerprint",
    "request",
)
