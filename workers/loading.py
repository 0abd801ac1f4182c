"""What a batch is decided on: the rows that its commands ask for, one statement for each kind. Rows that batches of
other mailboxes may change are loaded in one statement, so that they are consistent. A batch that holds its mailboxes
(see `workers/rows.py` for the order of locks) decides on them and checks again when it writes. One that decides without
locks remembers how far the log had come (see `workers/at_once.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from domain.allowances import ALLOWANCES
from domain.checkouts import Checkout
from domain.customers import Customer, Ordered, account_of
from domain.ledgers import Balance, Ledger
from domain.model import Entity, Line, Offer, Order, Shop
from domain.orders import PlaceOrder, is_guest
from domain.payments.payment import Payment
from domain.placing import buyer_of
from domain.quote.terms import Terms
from domain.quote.terms.limits import keys_without_codes
from domain.stock import STOCK
from domain.terms import NOW, TermsPart
from runtime import entities, orders
from runtime.database import Connection
from runtime.entities import ENTITIES, PRICES, SKU_PRICES, TERMS, table_of
from runtime.ledgers import LEDGERS, LedgerTable
from runtime.mailboxes.fence import LOG_OF_TODAY, Confirmed
from runtime.metrics import EVENT_COUNTER_WAIT_SECONDS
from runtime.offers import HAVE_ORDERED, OFFERS, offer
from runtime.terms import TermsMemory
from workers.guarded import StaleRead, Stands
from workers.ownership import Writes

# Everybody waits for the holder of the counter, so the holder waits for a row no longer than this.
_GIVE_WAY: Final = "SET LOCAL lock_timeout = '50ms'"

_COLUMNS = ", ".join(orders.COLUMNS)
_LOOK_AT_ORDERS = f"SELECT {_COLUMNS} FROM orders WHERE id = ANY($1::uuid[])"  # noqa: S608 - names of ours
_ORDERS = f"{_LOOK_AT_ORDERS} ORDER BY id FOR UPDATE"


class ReadSet(msgspec.Struct):
    """The rows that a batch's commands are decided on. `skus` are those whose offers it needs; `exact` are balances
    whose exact posted amount a command must know, not only that there is enough; `guards` are checked before anything
    is written that depends on what they guard."""

    skus: set[str] = msgspec.field(default_factory=set)
    order_ids: set[UUID] = msgspec.field(default_factory=set)
    entities: dict[tuple[type[Entity], str | None], set[Any]] = msgspec.field(default_factory=dict)
    balances: dict[Ledger, set[str]] = msgspec.field(default_factory=dict)
    exact: set[tuple[Ledger, str]] = msgspec.field(default_factory=set)
    guards: set[str] = msgspec.field(default_factory=set)
    settled_ids: set[UUID] = msgspec.field(default_factory=set)
    """Of `order_ids`, those that may be confirmed or come to nothing: the checkouts that they came of are needed, and
    what cards pay of them. Orders without a checkout have neither."""
    customers: set[str] = msgspec.field(default_factory=set)
    """The customers of whom it matters what they have ordered before, if the terms say so."""
    quoted: bool = False
    """Whether something is to be quoted: on the shop's terms, and on all that is known of the SKUs."""
    placed: list[PlaceOrder] = msgspec.field(default_factory=list)
    """The orders that are to be quoted as well, if the terms concern goods."""
    at: datetime | None = None
    """The moment of the batch, once something is asked for that depends on it."""

    def add(self, kind: type[Entity], key: Any, *, by: str | None = None) -> None:
        """Asks for the entities with this key, or this value in the column `by`."""
        self.entities.setdefault((kind, by or table_of(kind).key), set()).add(key)

    def add_all(self, kind: type[Entity]) -> None:
        """Asks for every entity of a kind; only for kinds with few entities."""
        self.entities[kind, None] = set()

    def consult(self, kind: type[Entity], key: Any) -> None:
        """Asks for an entity that another slot owns: if it changes meanwhile, the batch is decided again."""
        guard = table_of(kind).guard
        assert guard is not None, f"{kind.__name__} has no guard"
        self.guards.add(guard.name)
        self.add(kind, key)

    def balances_of(self, ledger: Ledger) -> set[str]:
        """The keys whose balances in this ledger are asked for."""
        return self.balances.setdefault(ledger, set())

    def add_balance(self, ledger: Ledger, key: str, *, exact: bool = False) -> None:
        """Asks for a balance. Its row is created with its first move."""
        self.balances_of(ledger).add(key)
        if exact:
            self.exact.add((ledger, key))

    def ask_by(self, terms: Terms) -> None:
        """Asks for all that the quotes of `placed` orders depend on by these terms, if those concern goods. What orders
        will take from what is limited is known only from their quotes: it may be any of this."""
        if not (self.placed and terms.concern_goods):
            return
        self.quoted, self.at = True, self.at or datetime.now(UTC)
        gifts = terms.gift_skus()
        self.skus |= gifts
        self.balances_of(STOCK).update(gifts)
        for command in self.placed:
            buyer = buyer_of(command)
            for key in keys_without_codes(terms.promotions, terms.purchase_limits, buyer, self.at):
                self.add_balance(ALLOWANCES, key, exact=True)
            if not is_guest(command.customer_id):
                self.customers.add(command.customer_id)
            if (account_id := account_of(command.customer_id)) is not None:
                self.consult(Customer, account_id)


class Loaded(msgspec.Struct, frozen=True, gc=False):
    """The shop as loaded; its orders and entities as they were then, and what has been written to them since; and what
    must still hold when it is written back."""

    shop: Shop
    before: dict[type, dict[Any, Any]]
    writes: Writes
    stands: Stands


class Looked(NamedTuple):
    """State loaded without a lock, how far the log had come before, and how many numbers of each of SERIES had been
    given out. If the log has come no further since, all of it is of that moment; if it has, it may not fit together."""

    loaded: Loaded
    log: Confirmed
    numbers: Sequence[int]


async def load(connection: Connection, read_set: ReadSet, *, alone: bool, memory: TermsMemory | None = None) -> Loaded:
    """The part of the shop in `read_set`. Its orders are locked until the commit, and with `alone` also the event
    counter, so that nobody else moves a balance; then writing an entity, or erasing a guest from other orders, raises
    LockNotAvailableError if another batch holds it. Raises StaleRead if the terms change again and again meanwhile.
    """
    shop, before = Shop(), dict[type, dict[Any, Any]]()
    if read_set.order_ids:
        shop.orders = await _load_orders(connection, read_set, _ORDERS)
    if alone:
        with EVENT_COUNTER_WAIT_SECONDS.time():
            await connection.execute("SELECT FROM event_counter FOR UPDATE")
        if read_set.entities or read_set.order_ids:
            await connection.execute(_GIVE_WAY)
    stands = Stands()
    if read_set.skus or read_set.balances or read_set.guards or read_set.quoted or read_set.placed:
        _, stands, _ = await _load_shared(connection, read_set, shop, memory or TermsMemory())
    await _load_entities(connection, read_set, before)
    return _loaded(shop, before, stands)


async def look(connection: Connection, read_set: ReadSet, memory: TermsMemory) -> Looked:
    """The same without any lock."""
    shop, before = Shop(), dict[type, dict[Any, Any]]()
    log, stands, numbers = await _load_shared(connection, read_set, shop, memory)
    if read_set.order_ids:
        shop.orders = await _load_orders(connection, read_set, _LOOK_AT_ORDERS)
    await _load_entities(connection, read_set, before)
    return Looked(_loaded(shop, before, stands), log, numbers)


def _loaded(shop: Shop, before: dict[type, dict[Any, Any]], stands: Stands) -> Loaded:
    before[Order] = shop.orders
    writes = Writes()
    shop.orders = writes.watched(shop.orders)
    for entity_table in ENTITIES:
        shop.others[entity_table.state] = writes.watched(before.get(entity_table.state, {}))
    return Loaded(shop, before, writes, stands)


async def _load_shared(
    connection: Connection, read_set: ReadSet, shop: Shop, memory: TermsMemory
) -> tuple[Confirmed, Stands, Sequence[int]]:
    """Loads what batches of other mailboxes may change, and returns what `_load_what_may_move` does, as of before. What
    orders ask for by the terms is asked for by those of a moment ago: if they are others by now, there is more to load.
    """
    if not (read_set.quoted or read_set.placed):
        return await _load_what_may_move(connection, read_set, shop)
    expected = memory.last
    read_set.ask_by(expected)
    log, stands, numbers = await _load_what_may_move(connection, read_set, shop)
    parts = partial(entities.load, connection, table_of(TermsPart), None, ())
    terms = await memory.at(log.identity, stands.guards[TERMS], parts)
    if read_set.placed and terms is not expected and terms.concern_goods:
        read_set.ask_by(terms)
        before, (_, stands, _) = stands, await _load_what_may_move(connection, read_set, shop)
        if stands.guards[TERMS] != before.guards[TERMS]:
            raise StaleRead("guard_moved")
    if read_set.quoted:
        shop.of(Terms)[NOW] = terms
        await _load_whole_offers(connection, read_set, shop)
        if terms.for_first_orders and read_set.customers:
            for customer_id, earlier in await connection.fetch(_HAVE_ORDERED, list(read_set.customers)):
                shop.of(Ordered)[customer_id] = Ordered(customer_id, earlier)
    return log, stands, numbers


async def _load_what_may_move(
    connection: Connection, read_set: ReadSet, shop: Shop
) -> tuple[Confirmed, Stands, Sequence[int]]:
    """Loads offers and balances, and with them the seqs of their guards, how far the log has come and how many numbers
    have been given out: in one statement, so that they are consistent. Consulted entities are loaded later, which can
    only make a guard look older than it was."""
    guards = {*read_set.guards, PRICES} if read_set.skus else read_set.guards
    if read_set.placed:
        guards = {*guards, TERMS}
    if read_set.quoted:
        guards = {*guards, PRICES, SKU_PRICES, TERMS}
    tables = tuple(table for table in LEDGERS if table.ledger in read_set.balances)
    keys = [read_set.balances[table.ledger] for table in tables]
    seqs: dict[str, int] = {}
    places = [shop.balances_of(table.ledger) for table in tables]
    log, orders_numbered, others_numbered = None, 0, (0, 0)
    for place, key, first, second, currency, on_sale in await connection.fetch(
        _what_may_move(tables), list(guards), list(read_set.skus), *map(list, keys)
    ):
        if place >= 0:
            places[place][key] = Balance(first, second)
        elif place == _OFFERS:
            shop.offers[key] = Offer(key, first, currency, on_sale)
        elif place == _GUARDS:
            seqs[key] = first
        elif place == _INVOICES:
            others_numbered = first, second
        else:
            log, orders_numbered = Confirmed(UUID(key), first), second
    assert log is not None
    exact: dict[Ledger, dict[str, int]] = {}
    for ledger, key in read_set.exact:
        exact.setdefault(ledger, {})[key] = shop.balance(ledger, key).posted
    absent = {table.ledger: asked - found.keys() for table, asked, found in zip(tables, keys, places, strict=True)}
    return log, Stands(seqs, exact, absent), (orders_numbered, *others_numbered)


async def _load_whole_offers(connection: Connection, read_set: ReadSet, shop: Shop) -> None:
    """Loads all that is known of the SKUs, after their guard, which can only make it look older than it is."""
    for row in await connection.fetch(_OFFERS_OF, list(read_set.skus)):
        shop.offers[row["sku"]] = offer(row)


async def _load_entities(connection: Connection, read_set: ReadSet, before: dict[type, dict[Any, Any]]) -> None:
    for (kind, column), values in read_set.entities.items():
        entity_table = table_of(kind)
        for state in await entities.load(connection, entity_table, column, values):
            before.setdefault(kind, {})[getattr(state, entity_table.key)] = state


_OFFERS_OF: Final = OFFERS.format(skus="$1::text[]")
_HAVE_ORDERED: Final = HAVE_ORDERED.format(customers="$1::text[]")
_INVOICES: Final = -4
_LOG: Final = -3
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
        SELECT {_LOG}, identity::text, last_seq, orders, NULL::text, NULL::boolean
        FROM (SELECT {LOG_OF_TODAY}, (SELECT orders FROM event_counter)) AS log
        UNION ALL SELECT {_INVOICES}, NULL, invoices, credit_notes, NULL, NULL FROM event_counter
        UNION ALL SELECT {_GUARDS}, v.name, coalesce(g.seq, 0), 0, NULL, NULL
        FROM unnest($1::text[]) AS v (name) LEFT JOIN guards g USING (name)
        UNION ALL SELECT {_OFFERS}, sku, price_minor, 0, currency, on_sale FROM variants WHERE sku = ANY($2::text[])
        {"".join(balances)}
    """  # noqa: S608 - names of ours


async def _load_orders(connection: Connection, read_set: ReadSet, statement: str) -> dict[UUID, Order]:
    """The orders, and asks for what else is needed of those that may be settled."""
    ids = list(read_set.order_ids)
    rows = await connection.fetch(statement, ids)
    lines: dict[UUID, list[Line]] = defaultdict(list)
    for order_id, *line in await connection.fetch(
        """
        SELECT order_id, sku, quantity, unit_price_minor FROM order_lines
        WHERE order_id = ANY($1::uuid[]) ORDER BY order_id, position
        """,
        ids,
    ):
        lines[order_id].append(Line(*line))
    found = {row["id"]: orders.order(row, lines[row["id"]]) for row in rows}
    for order_id in read_set.settled_ids & found.keys():
        if (checkout_id := found[order_id].checkout_id) is not None:
            read_set.add(Checkout, checkout_id)
            read_set.add(Payment, order_id, by="order_id")
    return found
