"""A large import, with a new price for everything that is being ordered, in the middle of a rush.

Arrivals order real baskets (open). After a while an import changes the price of each thing in the baskets, by a penny,
and adds `--rows` products. Orders go on, at the price that holds when they are placed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

import msgspec
from gevent.event import Event
from locust.argument_parser import LocustArgumentParser

from loadtests.frame.answers import all_had_an_outcome, none_were_refused, orders_are_in_the_log
from loadtests.frame.baskets import articles, order_basket, stock_baskets
from loadtests.frame.enact import enact
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import Arriving
from loadtests.frame.staff import Goods, Staff, as_csv
from loadtests.frame.verdict import Check, Failures, Latency, check
from ops.articles import Article


class Arrival(Arriving):
    """Orders a real basket."""

    def act(self) -> None:
        order_basket(self)


class ImportInRush(Scenario):
    name = "import_in_rush"
    rate = 15.0
    run_time = 60
    thresholds = (
        Latency(Scenario.row, 50, 300, "most orders do not meet the import"),
        Latency(Scenario.row, 99, 5_000, "orders queue with rows, but no longer than people wait for a page"),
        Failures(0.0, "an order whose price has just changed is decided again, not refused"),
    )
    _import: dict[str, Any] | None = None

    def add_options(self, parser: LocustArgumentParser) -> None:
        parser.add_argument("--rows", type=int, default=20_000, help="Products that the import adds")
        parser.add_argument("--import-after", type=float, default=10.0, help="Seconds of the rush before the import")

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        stock_baskets(staff, 20)
        return {}

    def during(self, staff: Staff, options: Any, stopping: Event) -> None:
        self._import = None
        if not stopping.wait(options.import_after):
            self._import = staff.import_csv(as_csv([*_dearer(), *_new(options.rows)]))

    def check(self, outcome: Outcome) -> Iterable[Check]:
        rows = len(articles()) + outcome.options.rows
        done = self._import or {"status": "never begun", "applied": 0, "rejected": 0}
        yield check(
            "the import is applied, each row once",
            (done["status"], done["applied"], done["rejected"]) == ("succeeded", rows, 0),
            wanted=f"{rows:,} rows applied",
            measured=f"{done['status']}: {done['applied']:,} applied, {done['rejected']:,} rejected",
            because="a rush is no reason to lose a price",
        )
        yield orders_are_in_the_log(outcome)
        yield all_had_an_outcome(outcome)
        yield none_were_refused(outcome)


def _dearer() -> list[Goods]:
    return [
        Goods(msgspec.structs.replace(article, price_minor=article.price_minor + 1), None) for article in articles()
    ]


def _new(rows: int) -> list[Goods]:
    run = secrets.token_hex(4).upper()
    return [Goods(Article(f"IMP-{run}-{n}", f"Imported {run} {n}", 1_000 + n % 100, "GBP"), 10) for n in range(rows)]


enact(ImportInRush())
