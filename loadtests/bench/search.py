"""How long one customer waits for a search among 100,000 products that is not cached: page and total, over HTTP.

Names are composed from those of the real data, descriptions from several of them. Of ten searches, seven are words from
a product's name, two have two letters swapped, and one is a SKU.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

import asyncpg

from loadtests.bench import goods
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import Client, serving
from loadtests.bench.stage import HOST, Stage
from loadtests.bench.targets import MILLISECONDS
from loadtests.loadgen import request
from ops import processes
from runtime.searched import searched_by

PRODUCTS: Final = 100_000

_DATABASE: Final = "bench_search"
_WARM_UP_SEARCHES: Final = 50
_WORDS_MAX: Final = 3
_DESCRIPTION_NAMES: Final = 4
_MISSPELT_MIN_LETTERS: Final = 5
_SHARES: Final = {"words": 7, "misspelt": 2, "code": 1}
_FIRST_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Good(NamedTuple):
    """A product of one variant."""

    product_id: UUID
    sku: str
    name: str
    description: str
    price_minor: int


class Search:
    """Series `search: p50` and `search: p95`, in milliseconds, of searches made one after the other."""

    name = "search"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._searches = plan.searches
        self._random = Random(goods.SEED)
        self._goods: list[Good] = []

    def titles(self) -> list[str]:
        return [f"search: {PRODUCTS:,} products"]

    def measure(self) -> Generator[list[Measured]]:
        if not self._goods:
            self._goods = made_up([product.name for product in self._stage.invoices.products], PRODUCTS)
            asyncio.run(_fill(self._stage.fresh(_DATABASE), self._goods))
        with serving(self._stage, {"gateway": processes.commands()["gateway"]}, self._stage.again(_DATABASE)) as port:
            client = Client(self._stage, port, self._random)
            client.load(self._requests(_WARM_UP_SEARCHES), 200, connections=1)
            result = client.load(self._requests(self._searches), 200, connections=1)
        yield [Measured(f"search: p{p}", result.percentile_ms(p), MILLISECONDS) for p in (50, 95)]

    def _requests(self, count: int) -> list[bytes]:
        """This many different searches."""
        words: dict[str, None] = {}
        while len(words) < count:
            words[searched(self._random, self._goods)] = None
        return [request("GET", HOST, f"/api/v1/products?{urlencode({'q': each})}", {}) for each in words]


def made_up(names: list[str], count: int) -> list[Good]:
    """This many products; deterministic."""
    random = Random(goods.SEED)
    names = [name for name in names if len(name.split()) > 1]
    found = []
    for number in range(count):
        first, second = random.choice(names).split(), random.choice(names).split()
        found.append(
            Good(
                UUID(int=random.getrandbits(128)),
                f"S{number:07}",
                " ".join([*first[:2], *second[-2:]]),
                " ".join(random.sample(names, _DESCRIPTION_NAMES)).capitalize(),
                random.randint(50, 20_000),
            )
        )
    return found


def searched(random: Random, among: list[Good]) -> str:
    """A search that somebody may make."""
    good = random.choice(among)
    (kind,) = random.choices(list(_SHARES), list(_SHARES.values()))
    if kind == "code":
        return good.sku
    words = random.sample(good.name.lower().split(), random.randint(1, _WORDS_MAX))
    if kind == "misspelt":
        longest = max(words, key=len)
        if len(longest) >= _MISSPELT_MIN_LETTERS:
            at = random.randrange(1, len(longest) - 2)
            words[words.index(longest)] = longest[:at] + longest[at + 1] + longest[at] + longest[at + 2 :]
    return " ".join(words)


async def _fill(database_url: str, among: list[Good]) -> None:
    """Writes the products directly to the tables, bypassing the log: nothing is verified here, and so many commands
    would take long."""
    connection = await asyncpg.connect(database_url)
    try:
        await connection.copy_records_to_table(
            "products",
            records=[
                (
                    *(good.product_id, good.sku.lower(), good.name, good.description, "active", 2, moment, moment),
                    *searched_by(good.name, good.description).values(),
                )
                for number, good in enumerate(among)
                for moment in (_FIRST_DAY + timedelta(seconds=number),)
            ],
            columns=(
                *("id", "slug", "name", "description", "status", "version", "created_at", "updated_at"),
                *searched_by("", ""),
            ),
        )
        await connection.copy_records_to_table(
            "variants",
            records=[
                (good.sku, good.product_id, "", good.price_minor, "GBP", "{}", True, True, _FIRST_DAY, _FIRST_DAY)
                for good in among
            ],
            columns=(
                "sku",
                "product_id",
                "title",
                "price_minor",
                "currency",
                "attributes",
                "active",
                "on_sale",
                "created_at",
                "updated_at",
            ),
        )
        await connection.copy_records_to_table(
            "stock", records=[(good.sku, 1) for good in among], columns=("sku", "on_hand")
        )
        await connection.execute("VACUUM ANALYZE products, variants, stock")
    finally:
        await connection.close()
