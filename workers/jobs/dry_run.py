"""Dry runs: decides the commands of an import by the domain's own rules, without applying them.

Each window is decided on Postgres's state, read in a read-only transaction and overlaid with what earlier windows would
have changed. The overlay is kept in an unnamed SQLite scratch file that vanishes with its connection: a dry run takes
disk space for what the file would change, and memory for only one window.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from domain.catalogue import Product, ProductFields, PutListing, Variant, VariantFields
from domain.categories import Category, CreateCategory
from domain.ledgers import Balance
from domain.model import Actor, Command, Context, Offer, Price, Rejection, Shop, decide, evolve
from domain.refusals import CommandRejected
from domain.sku_prices import PutPrices, SkuPrices
from domain.stock import STOCK, SetStock
from runtime.listings.rows import Row
from runtime.mailboxes.sender import Settled
from runtime.records import APPLIED, REJECTED
from workers.handlers import gather_reads
from workers.jobs.category_paths import CategoryTree
from workers.jobs.planning import Known, Planned, known_of, new_product_id
from workers.jobs.row_outcomes import CHANGED, Change, outcome_of
from workers.loading import ReadSet, load

_S = TypeVar("_S", bound=msgspec.Struct)


class RowEffect(NamedTuple):
    """The outcome a row would have, and what it would change."""

    settled: Settled
    changes: tuple[Change, ...]


class DryRun:
    """The shop as an import would leave it. A context manager."""

    def __init__(self, pool: asyncpg.Pool[Any], job_id: UUID, actor: Actor) -> None:
        self._pool = pool
        self._job_id = job_id
        self._context = Context(actor, datetime.now(UTC))
        self._scratch = _Scratch()
        self.categories: dict[UUID, Category] = {}
        """The categories that the import would have created so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    async def known(self, rows: Sequence[Row]) -> Known:
        """The state the shop would have of what the rows name."""
        known = await known_of(self._pool, rows)
        ids = {row.slug: new_product_id(self._job_id, row.slug) for row in rows if row.slug}
        ids.update({slug: product.id for slug, product in known.products.items()})
        products = self._scratch.recall(Product, map(str, ids.values()))
        variants = self._scratch.recall(Variant, (row.sku for row in rows if row.sku))
        return Known(
            {**known.products, **{product.slug: product for product in products.values()}},
            {**known.variants, **variants},
            known.categories,
        )

    async def create(self, tree: CategoryTree, command: CreateCategory) -> Settled:
        """The outcome for a category that the next window's rows need."""
        shop = Shop(others={Category: dict(tree.categories)})
        settled = self._decide(shop, command)
        if settled.status == APPLIED:
            self.categories[command.category_id] = shop.of(Category)[command.category_id]
        await asyncio.sleep(0)  # there may be thousands, and the lease must be renewed meanwhile
        return settled

    async def settle(self, planned: Sequence[Planned]) -> list[RowEffect]:
        """The outcome each command would have, in order."""
        read_set = ReadSet()
        for row in planned:
            gather_reads(row.command, read_set)
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            shop = (await load(connection, read_set, alone=False)).shop
        self._recall(shop, [row.command for row in planned])
        before = [dict(states) for _, states in _kept(shop)]
        settled = [self._try(shop, row.command) for row in planned]
        for (kind, states), earlier in zip(_kept(shop), before, strict=True):
            changed = {str(key): state for key, state in states.items() if state is not earlier.get(key)}
            self._scratch.remember(kind, changed)
        return settled

    def _recall(self, shop: Shop, commands: Sequence[PutListing | SetStock | PutPrices]) -> None:
        """Overlays the current state with what would be."""
        for category in self.categories.values():
            shop.of(Category)[category.id] = category
        product_ids = {str(command.product_id) for command in commands if isinstance(command, PutListing)}
        skus = {sku for command in commands if (sku := _sku_of(command)) is not None}
        for product in self._scratch.recall(Product, product_ids).values():
            shop.of(Product)[product.id] = product
        for sku, variant in self._scratch.recall(Variant, skus).items():
            shop.of(Variant)[sku] = variant
            shop.offers[sku] = Offer(sku, variant.price_minor, variant.currency, variant.on_sale)
        for sku, prices in self._scratch.recall(SkuPrices, skus).items():
            shop.of(SkuPrices)[sku] = prices
        shop.balances_of(STOCK).update(self._scratch.recall(Balance, skus))

    def _try(self, shop: Shop, command: PutListing | SetStock | PutPrices) -> RowEffect:
        before = _facts(shop, command)
        settled = self._decide(shop, command)
        after = _facts(shop, command)
        changes = tuple(
            Change(field, before.get(field), value) for field, value in after.items() if before.get(field) != value
        )
        return RowEffect(settled, changes if outcome_of(settled.type) == CHANGED else ())

    def _decide(self, shop: Shop, command: Command) -> Settled:
        decision = decide(shop, command, self._context)
        if isinstance(decision, Rejection):
            return Settled(REJECTED, 0.0, CommandRejected.type, decision.code, decision.detail)
        for event in decision:
            evolve(shop, event)
        return Settled(APPLIED, 0.0, decision[0].type)


def _facts(shop: Shop, command: PutListing | SetStock | PutPrices) -> dict[str, Any]:
    """The shop's current values of what a row is about, by column name."""
    facts: dict[str, Any] = {}
    if isinstance(command, PutPrices):
        known = shop.of(SkuPrices).get(command.sku)
        prices = {_place(price): price.price_minor for price in (() if known is None else known.prices)}
        (said,) = command.prices  # a row has one
        return {"price_minor": prices.get(_place(said))}
    if isinstance(command, PutListing) and (product := shop.of(Product).get(command.product_id)):
        facts = {name: getattr(product, name) for name in ProductFields.__struct_fields__}
    if sku := _sku_of(command):
        if variant := shop.of(Variant).get(sku):
            facts.update({name: getattr(variant, name) for name in VariantFields.__struct_fields__})
        facts["on_hand"] = shop.balance(STOCK, sku).posted
    return facts


def _place(price: Price) -> tuple[UUID | None, str, int]:
    """The key of a price among those of a SKU."""
    return price.price_list_id, price.currency, price.min_quantity


def _sku_of(command: PutListing | SetStock | PutPrices) -> str | None:
    if isinstance(command, SetStock | PutPrices):
        return command.sku
    return command.variant.sku if command.variant else None


def _kept(shop: Shop) -> tuple[tuple[type[msgspec.Struct], dict[Any, Any]], ...]:
    """What an import changes, by kind."""
    return (
        (Product, shop.of(Product)),
        (Variant, shop.of(Variant)),
        (SkuPrices, shop.of(SkuPrices)),
        (Balance, shop.balances_of(STOCK)),
    )


class _Scratch:
    """States by kind and key, on disk."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        self._file.execute("PRAGMA journal_mode = OFF")
        self._file.execute(
            "CREATE TABLE states (kind TEXT, key TEXT, state BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
        )

    def close(self) -> None:
        self._file.close()

    def remember(self, kind: type[msgspec.Struct], states: dict[str, msgspec.Struct]) -> None:
        """Stores the states, replacing any under the same keys."""
        rows = [(kind.__name__, key, msgspec.msgpack.encode(state)) for key, state in states.items()]
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR REPLACE INTO states VALUES (?, ?, ?)", rows)
        self._file.execute("COMMIT")

    def recall(self, kind: type[_S], keys: Iterable[str]) -> dict[str, _S]:
        """The states stored under these keys."""
        found: dict[str, _S] = {}
        for key in keys:
            query = self._file.execute("SELECT state FROM states WHERE kind = ? AND key = ?", (kind.__name__, key))
            if row := query.fetchone():
                found[key] = msgspec.msgpack.decode(row[0], type=kind)
        return found
