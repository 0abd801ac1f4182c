"""Entities: kinds of state that are whole rows of a table, a column for each field. One mechanism reads, writes and
proves them.

Orders and stock, which must be fast, have statements of their own. Everything else (products, accounts, ...) is a
frozen struct in the domain and a table whose columns are named as its fields, declared here as one line. Batches load
the rows their commands need, and write those that changed; `verify` folds them from the log and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple, get_type_hints
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from domain.accounts import Account
from domain.api_keys import ApiKey
from domain.catalogue import Product, Variant
from domain.categories import Category
from domain.checkouts import Checkout
from domain.customers import Customer
from domain.gift_cards import GiftCard
from domain.invoices import Invoice
from domain.jobs import Job
from domain.model import Entity, Private, private_fields
from domain.payments.payment import Payment, status_of
from domain.promotion_codes import PromotionCode
from domain.sessions import Session
from domain.sku_prices import SkuPrices
from domain.terms import TermsPart
from domain.webhooks import Webhook
from runtime import tables
from runtime.searched import searched_by
from runtime.tables.payments import AMOUNTS


class Guard(NamedTuple):
    """An optimistic lock, by name, for entities that batches read but do not own. It moves when one of the `columns`
    changes (any column, if none are named), and, with `new_rows`, when a row is added. Without it, a new row must not
    affect any decision made before it existed."""

    name: str
    columns: tuple[str, ...] = ()
    new_rows: bool = True


class EntityTable(NamedTuple):
    """A kind of state: its table (the first column is the key); the prefix of the events that change it; the column
    with the events' subject, if that is not the key; a function that computes the `derived` columns, which are not
    fields, and the names of those that are `compared` with the log too; and its guard, if batches of other mailboxes
    depend on it. Private fields are not in the log."""

    state: type[Entity]
    table: Table
    events: str
    subject_column: str | None = None
    derived: Callable[[Any], Mapping[str, Any]] | None = None
    compared: tuple[str, ...] = ()
    guard: Guard | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        return self.state.__struct_fields__

    @property
    def proven(self) -> tuple[str, ...]:
        """The columns that `verify` reads, besides `created_at` and `updated_at`."""
        return (*self.fields, *self.compared)

    @property
    def private(self) -> Mapping[str, type[Private]]:
        """The columns that the log does not know."""
        return private_fields(self.state)

    @property
    def key(self) -> str:
        return self.fields[0]

    @property
    def subject(self) -> str:
        """The column whose value, as text, is the subject of the events."""
        return self.subject_column or self.key

    def guarded(self, state: Entity) -> tuple[Any, ...]:
        """The values of a state that its guard guards."""
        assert self.guard is not None
        return tuple(getattr(state, name) for name in self.guard.columns or self.fields)

    def read(self, row: Mapping[str, Any]) -> Entity:
        """The state in a row."""
        return self.state(*(self._value(name, row[name]) for name in self.fields))

    def row(self, state: Entity) -> dict[str, Any]:
        """The state as a row, without `created_at` and `updated_at`."""
        return {**{name: _plain(getattr(state, name)) for name in self.fields}, **self.following(state)}

    def following(self, state: Entity) -> Mapping[str, Any]:
        """The derived columns."""
        return self.derived(state) if self.derived is not None else {}

    def _value(self, name: str, value: Any) -> Any:
        if value is None:
            return None
        if private := self.private.get(name):
            return private(value)
        if isinstance(value, UUID):
            return UUID(int=value.int)  # asyncpg has a class of its own
        if isinstance(value, list):
            return tuple(self._value(name, each) for each in value)
        if isinstance(self.table.c[name].type, JSONB):
            return msgspec.json.decode(value, type=_types_of(self.state)[name])
        return value


@cache
def _types_of(kind: type[Entity]) -> Mapping[str, Any]:
    return get_type_hints(kind)


def _told_by(payment: Payment) -> Mapping[str, Any]:
    """The derived columns by which lists of payments are filtered and summed."""
    now = payment.amounts
    return {
        "status": status_of(payment.entries),
        "is_pending": now.is_pending,
        **{f"{name}_minor": amount for name, amount in msgspec.structs.asdict(now).items()},
    }


PRICES: Final = "prices"
"""Guards what every order depends on: the variants' own prices, and whether they are on sale."""

SKU_PRICES: Final = "sku_prices"
"""Guards the other prices of SKUs, at which checkouts may be completed."""

CUSTOMERS: Final = "customers"
"""Guards the customers' groups, tax ids and tax exemptions."""

TERMS: Final = "terms"
"""Guards the shop's terms (everything about money besides prices), on which every checkout is completed."""

CODES: Final = "promotion_codes"
"""Guards promotion codes that are given up. A new code cannot affect orders that do not use it."""

GIFT_CARDS: Final = "gift_cards"
"""Guards gift cards that are disabled. No order depends on a new card."""

# Parents before children: they are written in this order.
ENTITIES: Final[tuple[EntityTable, ...]] = (
    EntityTable(Category, tables.categories, "category."),
    EntityTable(
        Product,
        tables.products,
        "product.",
        derived=lambda product: searched_by(product.name, product.description),
    ),
    EntityTable(
        Variant,
        tables.variants,
        "product.",
        subject_column="product_id",
        # Until now, an order for a new SKU was refused, so no order depends on its price.
        guard=Guard(PRICES, ("price_minor", "currency", "on_sale", "kind", "tax_class"), new_rows=False),
    ),
    EntityTable(SkuPrices, tables.sku_prices, "price.", guard=Guard(SKU_PRICES)),
    EntityTable(Account, tables.accounts, "account."),
    EntityTable(Customer, tables.customers, "customer.", guard=Guard(CUSTOMERS)),
    EntityTable(Session, tables.sessions, "session."),
    EntityTable(ApiKey, tables.api_keys, "api_key."),
    EntityTable(Job, tables.jobs, "job."),
    EntityTable(Webhook, tables.webhooks, "webhook."),
    EntityTable(Checkout, tables.checkouts, "checkout."),
    EntityTable(PromotionCode, tables.promotion_codes, "promotion_code.", guard=Guard(CODES, new_rows=False)),
    EntityTable(GiftCard, tables.gift_cards, "gift_card.", guard=Guard(GIFT_CARDS, ("active",), new_rows=False)),
    EntityTable(TermsPart, tables.terms, "terms.", guard=Guard(TERMS)),
    EntityTable(
        Payment,
        tables.payments,
        "payment.",
        derived=_told_by,
        compared=("status", "is_pending", *AMOUNTS),
    ),
    EntityTable(Invoice, tables.invoices, "invoice."),
)

_NOUN_OF: Final = {entity_table.state: entity_table for entity_table in ENTITIES}
_DIALECT: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # the library has no types here


def table_of(kind: type[Entity]) -> EntityTable:
    """The table of a kind of state."""
    return _NOUN_OF[kind]


def type_of(table: Table, column: str) -> str:
    """The column's type, in SQL."""
    compiled: str = table.c[column].type.compile(_DIALECT)
    return compiled


async def load(
    connection: asyncpg.Connection[Any], entity_table: EntityTable, column: str | None, values: Iterable[Any]
) -> list[Entity]:
    """The states whose `column` has one of the values, in order of their keys; without a column, all states."""
    columns = ", ".join(entity_table.fields)
    if column is None:
        rows = await connection.fetch(
            f"SELECT {columns} FROM {entity_table.table.name} ORDER BY {entity_table.key}"  # noqa: S608 - names of ours
        )
    else:
        rows = await connection.fetch(
            f"SELECT {columns} FROM {entity_table.table.name}"  # noqa: S608 - names of ours
            f" WHERE {column} = ANY($1::{type_of(entity_table.table, column)}[]) ORDER BY {entity_table.key}",
            list(values),
        )
    return [entity_table.read(row) for row in rows]


async def write(
    connection: asyncpg.Connection[Any], entity_table: EntityTable, states: Iterable[Entity], at: datetime, *, new: bool
) -> None:
    """Writes the states to their rows. Rows of `new` states must not exist: if two mailboxes create the same thing at
    once, the later one violates a unique constraint, and is decided again. Rows are written in order of their keys, so
    that two batches cannot deadlock."""
    columns, rows = as_json(entity_table, states)
    await connection.execute(writing(entity_table, columns, "$2::timestamptz", new=new).format("$1"), rows, at)


def as_json(entity_table: EntityTable, states: Iterable[Entity]) -> tuple[tuple[str, ...], str]:
    """The rows of these states (at least one), in order of their keys: the names of their columns, without `created_at`
    and `updated_at`, and the values as JSON."""
    rows = [entity_table.row(state) for state in sorted(states, key=lambda state: getattr(state, entity_table.key))]
    return tuple(rows[0]), msgspec.json.encode(rows).decode()


@cache
def writing(entity_table: EntityTable, columns: tuple[str, ...], at: str, *, new: bool, beside: str = "") -> str:
    """The query that writes the rows in {0} (JSON). `at`, their moment, is an SQL expression, which may use a table
    named in `beside`."""
    typed = ", ".join(f"{name} {type_of(entity_table.table, name)}" for name in columns)
    updates = ", ".join(f"{name} = excluded.{name}" for name in (*columns, "updated_at") if name != entity_table.key)
    return f"""
        INSERT INTO {entity_table.table.name} ({", ".join(columns)}, created_at, updated_at)
        SELECT {", ".join(f"given.{name}" for name in columns)}, {at}, {at}
        FROM {beside}jsonb_to_recordset({{0}}::jsonb) AS given ({typed})
        {"" if new else f"ON CONFLICT ({entity_table.key}) DO UPDATE SET {updates}"}
    """  # noqa: S608 - names of ours


async def move(
    connection: asyncpg.Connection[Any], entity_table: EntityTable, states: Iterable[Entity], at: datetime, *, new: bool
) -> None:
    """Sets `updated_at` (and `created_at`, if they are `new`) of the rows that were just written for these states."""
    kind = type_of(entity_table.table, entity_table.key)
    await connection.execute(
        f"""
        UPDATE {entity_table.table.name} SET updated_at = $2{", created_at = $2" if new else ""}
        WHERE {entity_table.key} = ANY($1::{kind}[])
        """,  # noqa: S608 - names of ours
        [getattr(state, entity_table.key) for state in states],
        at,
    )


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Private) else value
