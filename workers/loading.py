"""Loads what a batch is decided on: the rows that its commands ask for, one statement for each kind. Rows that batches
of other mailboxes may change are loaded in one statement, so that they are consistent. A batch that holds its mailboxes
(see `workers/rows.py` for the lock order) checks them again when it writes. A batch without locks remembers the log's
last seq instead (see `workers/at_once.py`).
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
from workers.guarded import Assumptions
from workers.ownership import Writes
from workers.stale import StaleRead

# All other batches wait for the holder of the counter, so it must not wait for a row any longer than this.
_GIVE_WAY: Final = "SET LOCAL lock_timeout = '50ms'"

_COLUMNS = ", ".join(orders.COLUMNS)
_LOOK_AT_ORDERS = f"SELECT {_COLUMNS} FROM orders WHERE id = ANY($1::uuid[])"  # noqa: S608 - names of ours
_ORDERS = f"{_LOOK_AT_ORDERS} ORDER BY id FOR UPDATE"


class ReadSet(msgspec.Struct):
    """The rows that a batch's commands are decided on. `skus` are those whose offers are needed; `exact` are the
    balances whose exact posted amount matters, not only that there is enough; `guards` are those that must not have
    moved when the batch is written."""

    skus: set[str] = msgspec.field(default_factory=set)
    order_ids: set[UUID] = msgspec.field(default_factory=set)
    entities: dict[tuple[type[Entity], str | None], set[Any]] = msgspec.field(default_factory=dict)
    balances: dict[Ledger, set[str]] = msgspec.field(default_factory=dict)
    exact: set[tuple[Ledger, str]] = msgspec.field(default_factory=set)
    guards: set[str] = msgspec.field(default_factory=set)
    settled_ids: set[UUID] = msgspec.field(default_factory=set)
    """Of `order_ids`, those that may be confirmed, cancelled or expire: for these, the checkout that each came from and
    its payments are needed, too. Orders without a checkout have neither."""
    customers: set[str] = msgspec.field(default_factory=set)
    """The customers whose earlier orders matter, if the terms depend on them."""
    quoted: bool = False
    """Whether anything is to be quoted: this takes the shop's terms, and the whole offers of the SKUs."""
    placed: list[PlaceOrder] = msgspec.field(default_factory=list)
    """Orders placed directly, which are quoted only if the terms concern goods."""
    at: datetime | None = None
    """The moment of the batch, once the read set depends on it."""

    def add(self, kind: type[Entity], key: Any, *, by: str | None = None) -> None:
        """Asks for the entities with this key, or this value in the column `by`."""
        self.entities.setdefault((kind, by or table_of(kind).key), set()).add(key)

    def add_all(self, kind: type[Entity]) -> None:
        """Asks for every entity of a kind; only for kinds with few entities."""
        self.entities[kind, None] = set()

    def consult(self, kind: type[Entity], key: Any) -> None:
        """Asks for an entity that another slot owns; its guard is checked when the batch is written."""
        guard = table_of(kind).guard
        assert guard is not None, f"{kind.__name__} has no guard"
        self.guards.add(guard.name)
        self.add(kind, key)

    def balances_of(self, ledger: Ledger) -> set[str]:
        """The keys whose balances in this ledger are asked for."""
        return self.balances.setdefault(ledger, set())

    def add_balance(self, ledger: Ledger, key: str, *, exact: bool = False) -> None:
        """Asks for a balance. Its row may not exist yet: the first move creates it."""
        self.balances_of(ledger).add(key)
        if exact:
            self.exact.add((ledger, key))

    def ask_by(self, terms: Terms) -> None:
        """Asks for everything that the quotes of `placed` orders may depend on under these terms, if the terms concern
        goods. Only the quotes tell which limited promotions an order really uses, so it asks for all candidates."""
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
    """The shop as loaded; its orders and entities as they were `before`; the writes to them since; and the assumptions
    that must still hold when they are written back."""

    shop: Shop
    before: dict[type, dict[Any, Any]]
    writes: Writes
    assumptions: Assumptions


class Looked(NamedTuple):
    """State loaded without locks, the log's last seq before that, and how many numbers of each of SERIES had been given
    out. If the log has not moved since, all of it is one consistent snapshot; if it has, it may be inconsistent."""

    loaded: Loaded
    log: Confirmed
    numbers: Sequence[int]


async def load(connection: Connection, read_set: ReadSet, *, alone: bool, memory: TermsMemory | None = None) -> Loaded:
    """Loads the part of the shop in `read_set`. Its orders are locked until the commit. With `alone`, so is the event
    counter, so that nobody else can move a balance; then writing an entity, or erasing a guest from other orders,
    raises LockNotAvailableError if another batch holds the row. Raises StaleRead if the terms change twice meanwhile.
    """
    shop, before = Shop(), dict[type, dict[Any, Any]]()
    if read_set.order_ids:
        shop.orders = await _load_orders(connection, read_set, _ORDERS)
    if alone:
        with EVENT_COUNTER_WAIT_SECONDS.time():
            await connection.execute("SELECT FROM event_counter FOR UPDATE")
        if read_set.entities or read_set.order_ids:
            await connection.execute(_GIVE_WAY)
    assumptions = Assumptions()
    if read_set.skus or read_set.balances or read_set.guards or read_set.quoted or read_set.placed:
        _, assumptions, _ = await _load_shared(connection, read_set, shop, memory or TermsMemory())
    await _load_entities(connection, read_set, before)
    return _loaded(shop, before, assumptions)


async def look(connection: Connection, read_set: ReadSet, memory: TermsMemory) -> Looked:
    """Loads the part of the shop in `read_set` without any lock."""
    shop, before = Shop(), dict[type, dict[Any, Any]]()
    log, assumptions, numbers = await _load_shared(connection, read_set, shop, memory)
    if read_set.order_ids:
        shop.orders = await _load_orders(connection, read_set, _LOOK_AT_ORDERS)
    await _load_entities(connection, read_set, before)
    return Looked(_loaded(shop, before, assumptions), log, numbers)


def _loaded(shop: Shop, before: dict[type, dict[Any, Any]], assumptions: Assumptions) -> Loaded:
    before[Order] = shop.orders
    writes = Writes()
    shop.orders = writes.watched(shop.orders)
    for entity_table in ENTITIES:
        shop.others[entity_table.state] = writes.watched(before.get(entity_table.state, {}))
    return Loaded(shop, before, writes, assumptions)


async def _load_shared(
    connection: Connection, read_set: ReadSet, shop: Shop, memory: TermsMemory
) -> tuple[Confirmed, Assumptions, Sequence[int]]:
    """Loads what batches of other mailboxes may change; returns what `_load_guarded` does. What orders need
    depends on the terms, and is first guessed from the terms last seen: if they have changed since, it is loaded again.
    """
    if not (read_set.quoted or read_set.placed):
        return await _load_guarded(connection, read_set, shop)
    expected = memory.last
    read_set.ask_by(expected)
    log, assumptions, numbers = await _load_guarded(connection, read_set, shop)
    parts = partial(entities.load, connection, table_of(TermsPart), None, ())
    terms = await memory.at(log.identity, assumptions.guards[TERMS], parts)
    if read_set.placed and terms is not expected and terms.concern_goods:
        read_set.ask_by(terms)
        before, (_, assumptions, _) = assumptions, await _load_guarded(connection, read_set, shop)
        if assumptions.guards[TERMS] != before.guards[TERMS]:
            raise StaleRead("guard_moved")
    if read_set.quoted:
        shop.of(Terms)[NOW] = terms
        await _load_whole_offers(connection, read_set, shop)
        if terms.for_first_orders and read_set.customers:
            for customer_id, earlier in await connection.fetch(_HAVE_ORDERED, list(read_set.customers)):
                shop.of(Ordered)[customer_id] = Ordered(customer_id, earlier)
    return log, assumptions, numbers


async def _load_guarded(
    connection: Connection, read_set: ReadSet, shop: Shop
) -> tuple[Confirmed, Assumptions, Sequence[int]]:
    """Loads offers, balances and the seqs of their guards, the log's last seq, and how many numbers have been given
    out: in one statement, so that they are consistent. Consulted entities are loaded later. That is safe: their guard
    is then at worst too old, and the check fails."""
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
        _guarded_rows(tables), list(guards), list(read_set.skus), *map(list, keys)
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
    return log, Assumptions(seqs, exact, absent), (orders_numbered, *others_numbered)


async def _load_whole_offers(connection: Connection, read_set: ReadSet, shop: Shop) -> None:
    """Loads the SKUs' whole offers. It comes after their guard was read, so at worst the guard is too old and the check
    fails."""
    for row in await connection.fetch(_OFFERS_OF, list(read_set.skus)):
        shop.offers[row["sku"]] = offer(row)


async def _load_entities(connection: Connection, read_set: ReadSet, before: dict[type, dict[Any, Any]]) -> None:
    for (kind, column), values in read_set.entities.items():
        entity_table = table_of(kind)
        for state in await entities.load(connection, entity_table, column, values):
            before.setdefault(kind, {})[getattr(state, entity_table.key)] = state


_OFFERS_OF: Final = OFFERS.format(skus="$1")
_HAVE_ORDERED: Final = HAVE_ORDERED.format(customers="$1::text[]")
_INVOICES: Final = -4
_LOG: Final = -3
_GUARDS: Final = -2
_OFFERS: Final = -1


@cache
def _guarded_rows(tables: tuple[LedgerTable, ...]) -> str:
    """The statement that loads it. Each row begins with its kind: a negative constant, or the index of its ledger."""
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
    """Loads the orders, and asks for the checkouts and payments of those that may be settled."""
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
