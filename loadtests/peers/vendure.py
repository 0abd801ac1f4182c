"""Whole checkouts at Vendure, with the shoppers, goods and terms of our own (see `loadtests.bench.checkouts`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from random import Random
from typing import Final

from loadtests import conversations
from loadtests.bench import goods
from loadtests.bench.checkouts import CODE
from loadtests.bench.cpu import cpu_an_order, cpu_seconds
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.shopper import CHECKOUT, COMPLETE
from loadtests.bench.stage import HOST, BenchError, Stage
from loadtests.bench.targets import CHECKOUTS, MILLISECONDS
from loadtests.conversations import Conversation, Talked
from loadtests.peers.processes import Installed, running
from loadtests.peers.seeding import Seeded, index, seed
from loadtests.peers.shopper import VendureShopper

ARTICLES: Final = 200
SERVERS: Final = (1, 2)
"""The numbers of server processes with which Vendure may use two cores; the faster one counts."""

_DATABASE: Final = "bench_vendure"
_TEMPLATE: Final = "bench_vendure_template"
_PAID: Final = """SELECT count(*) FROM "order" WHERE state = 'PaymentSettled'"""


def shape(servers: int) -> str:
    """The name of such a configuration in the names of series."""
    return f"vendure, {servers} server{'s' if servers > 1 else ''}"


class Vendure:
    """Series `checkouts: vendure, N servers`, the same with `complete p50` and so on, and the CPU time of one."""

    name = "vendure"

    def __init__(self, stage: Stage, plan: Plan, shop: Installed) -> None:
        self._stage = stage
        self._seconds = plan.seconds
        self._shoppers = plan.shoppers
        self._shop = shop
        self._random = Random(goods.SEED)
        self._seeded: Seeded | None = None

    def titles(self) -> list[str]:
        preparing = [] if self._seeded else [f"Vendure's {ARTICLES} articles"]
        return [*preparing, *(f"{shape(servers)}: {self._shoppers} shoppers" for servers in SERVERS)]

    def measure(self) -> Generator[list[Measured]]:
        if self._seeded is None:
            self._seeded = self._prepare()
            yield []
        for servers in SERVERS:
            yield self._checkouts(servers, self._seeded)

    def _prepare(self) -> Seeded:
        """Creates the template of its databases."""
        home, postgres, admin = self._stage.home, self._stage.postgres, self._shop.admin
        postgres.psql(f"CREATE DATABASE {_TEMPLATE}")
        url = postgres.url_of(_TEMPLATE)
        with running(self._shop, home, url, ("prepare",)) as port:
            seeded = seed(port, admin, goods.products()[:ARTICLES], self._shoppers)
        postgres.psql("DELETE FROM job_record_buffer", _TEMPLATE)  # the index is filled from the goods themselves
        with running(self._shop, home, url, ("server", "1"), ("worker",)) as port:
            index(port, admin, ARTICLES)
        postgres.psql("VACUUM ANALYZE", _TEMPLATE)
        return seeded

    def _checkouts(self, servers: int, seeded: Seeded) -> list[Measured]:
        postgres = self._stage.postgres
        postgres.psql(f"DROP DATABASE IF EXISTS {_DATABASE} WITH (FORCE)")
        postgres.psql(f"CREATE DATABASE {_DATABASE} TEMPLATE {_TEMPLATE}")
        postgres.psql("CHECKPOINT")
        roles = (("server", str(servers)), ("worker",))
        with running(self._shop, self._stage.home, postgres.url_of(_DATABASE), *roles) as port:
            warmed = self._talk(port, seeded)  # a warm-up of the same length: Node compiles hot code
            before = cpu_seconds()
            talked = self._talk(port, seeded)
            cpu = cpu_an_order(shape(servers), before, talked.finished)
        paid = int(postgres.psql(_PAID, _DATABASE))
        if paid != warmed.finished + talked.finished:
            raise BenchError(f"{warmed.finished + talked.finished} orders were to be paid at Vendure, and {paid} are")
        return [
            Measured(f"checkouts: {shape(servers)}", talked.rate, CHECKOUTS),
            *(
                Measured(f"{shape(servers)}: {title}p{p}", talked.percentile_ms(what, p), MILLISECONDS)
                for title, what in (("complete ", COMPLETE), ("", CHECKOUT))
                for p in (50, 99)
            ),
            cpu,
        ]

    def _talk(self, port: int, seeded: Seeded) -> Talked:
        def begin(talked: Talked) -> Iterator[Conversation]:
            free = deque(VendureShopper(HOST, token) for token in seeded.tokens)
            for purchase in goods.two_lines(self._random, ARTICLES):
                yield in_turn(free, talked, purchase, seeded)

        talked = conversations.run(HOST, port, begin, people=self._shoppers, seconds=self._seconds)
        if talked.failures or not talked.finished:
            raise BenchError(f"{talked.finished} checkouts, and others broke off: {talked.failures.most_common(3)}")
        return talked


def in_turn(free: deque[VendureShopper], talked: Talked, purchase: goods.Purchase, seeded: Seeded) -> Conversation:
    """A checkout by a customer who is not in another one. A connection that finishes a checkout begins the next one as
    the customer who became free last, so each customer stays on one connection, and with one server process."""
    shopper = free.pop()
    try:
        yield from shopper.buys(talked, purchase.lines, seeded.variants, seeded.method_id, CODE)
    finally:
        free.append(shopper)
