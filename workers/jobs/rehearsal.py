"""A dry run: what the commands of an import would do, by the domain's own rules, and nothing of it done.

Each window is decided on what Postgres has, read in a read-only transaction, under what the windows before would have
made of it. That is kept in a scratch file of SQLite's, which has no name and is gone with its connection: a dry run
takes disk for what the file would change, and no more memory than a window.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Self, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from domain.catalogue import Product, PutListing, Variant
from domain.model import Offer, Rejection, Shop, Stock, Who, decide, evolve
from domain.refusals import CommandRejected
from domain.stock import SetStock
from runtime.listings.rows import Row
from runtime.mailboxes.sender import Settled
from runtime.records import APPLIED, REJECTED
from workers.handlers import gather_needs
from workers.jobs.planning import Known, Planned, known_of, new_product_id
from workers.rows import Needs, load

_S = TypeVar("_S", bound=msgspec.Struct)


class Rehearsal:
    """The shop as an import would leave it. A context manager."""

    def __init__(self, pool: asyncpg.Pool[Any], job_id: UUID, who: Who) -> None:
        self._pool = pool
        self._job_id = job_id
        self._who = who
        self._scratch = _Scratch()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.close()

    async def known(self, rows: Sequence[Row]) -> Known:
        """What the shop would have of what the rows name."""
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

    async def settle(self, planned: Sequence[Planned]) -> list[Settled]:
        """What would become of each command, in their order."""
        needs = Needs()
        for row in planned:
            gather_needs(row.command, needs)
        async with self._pool.acquire() as connection, connection.transaction(readonly=True):
            shop = (await load(connection, needs, alone=False)).shop
        self._recall(shop, [row.command for row in planned])
        before = [dict(states) for _, states in _kept(shop)]
        settled = [self._decide(shop, row.command) for row in planned]
        for (kind, states), earlier in zip(_kept(shop), before, strict=True):
            changed = {str(key): state for key, state in states.items() if state is not earlier.get(key)}
            self._scratch.remember(kind, changed)
        return settled

    def _recall(self, shop: Shop, commands: Sequence[PutListing | SetStock]) -> None:
        """Puts what would be over what is."""
        product_ids = {str(command.product_id) for command in commands if isinstance(command, PutListing)}
        skus = {sku for command in commands if (sku := _sku_of(command)) is not None}
        for product in self._scratch.recall(Product, product_ids).values():
            shop.of(Product)[product.id] = product
        for sku, variant in self._scratch.recall(Variant, skus).items():
            shop.of(Variant)[sku] = variant
            shop.offers[sku] = Offer(sku, variant.price_minor, variant.currency, variant.on_sale)
        shop.stock.update(self._scratch.recall(Stock, skus))

    def _decide(self, shop: Shop, command: PutListing | SetStock) -> Settled:
        decision = decide(shop, command, self._who)
        if isinstance(decision, Rejection):
            return Settled(REJECTED, 0.0, CommandRejected.type, decision.code, decision.detail)
        for event in decision:
            evolve(shop, event)
        return Settled(APPLIED, 0.0, decision[0].type)


def _sku_of(command: PutListing | SetStock) -> str | None:
    if isinstance(command, SetStock):
        return command.sku
    return command.variant.sku if command.variant else None


def _kept(shop: Shop) -> tuple[tuple[type[msgspec.Struct], dict[Any, Any]], ...]:
    """What an import changes, by kind."""
    return (Product, shop.of(Product)), (Variant, shop.of(Variant)), (Stock, shop.stock)


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
        """Keeps the states in place of what was kept under their keys."""
        rows = [(kind.__name__, key, msgspec.msgpack.encode(state)) for key, state in states.items()]
        self._file.execute("BEGIN")
        self._file.executemany("INSERT OR REPLACE INTO states VALUES (?, ?, ?)", rows)
        self._file.execute("COMMIT")

    def recall(self, kind: type[_S], keys: Iterable[str]) -> dict[str, _S]:
        """The states that are kept under these keys."""
        found: dict[str, _S] = {}
        for key in keys:
            query = self._file.execute("SELECT state FROM states WHERE kind = ? AND key = ?", (kind.__name__, key))
            if row := query.fetchone():
                found[key] = msgspec.msgpack.decode(row[0], type=kind)
        return found
