"""Everything that happens in a shop on a busy day, at once: most people look around, some order, some come back to
their orders; the staff receive goods, and dashboards follow it all."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any, ClassVar, Final

import msgspec
from locust import between, task
from locust.argument_parser import LocustArgumentParser

from loadtests.frame.answers import (
    CONFIRMED,
    all_had_an_outcome,
    are_in_the_log,
    confirmations_are_in_the_log,
    none_were_refused,
    orders_are_in_the_log,
)
from loadtests.frame.baskets import articles, order_basket, stock_baskets
from loadtests.frame.browsing import look_around, pages_are_right
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import ORDERS, PLACE, Arriving, Shopper
from loadtests.frame.staff import Staff
from loadtests.frame.subscribers import EVENTS, Subscriber
from loadtests.frame.verdict import Check, Failures, Latency, Row

RECEIVE: Final = Row("POST", "/api/v1/inventory/{sku}/receipts, Prefer: wait")
RECEIVED: Final = "receipts told of"

_LOOKING: Final = 0.7
_THINKING_BETTER: Final = 0.1
_PAYING: Final = 0.8


class Passerby(Arriving):
    """Looks at a page, or orders something, and then mostly pays."""

    abstract = True
    weight = 3

    def act(self) -> None:
        if random.random() < _LOOKING:
            look_around(self)
            return
        told = order_basket(self)
        if told.done and random.random() < _PAYING:
            self.tally(self.move(told.order_id, "confirm"), CONFIRMED)


class Regular(Shopper):
    """Looks around, orders, looks at old orders, sometimes cancels; and thinks in between."""

    abstract = True
    weight = 1
    wait_time = between(0.5, 3.0)

    def on_start(self) -> None:
        super().on_start()
        self._orders: list[str] = []

    @task(6)
    def look(self) -> None:
        look_around(self)

    @task(2)
    def order_something(self) -> None:
        told = order_basket(self)
        if told.done:
            self._orders.append(told.order_id)
        if self._orders and random.random() < _THINKING_BETTER:
            self.move(self._orders.pop(), "cancel")

    @task(2)
    def look_at_orders(self) -> None:
        self.client.get(f"{ORDERS}?limit=10", headers=self.headers(), name=f"{ORDERS}?limit=10")


class Clerk(Shopper):
    """Receives goods."""

    abstract = True
    fixed_count = 1
    wait_time = between(1.0, 3.0)

    def on_start(self) -> None:
        super().on_start()
        self.token = self.run_.staff()

    @task
    def receive(self) -> None:
        sku = random.choice(articles()).sku
        body = msgspec.json.encode({"quantity": random.randint(1, 50)}).decode()
        self.tally(self.write(f"/api/v1/inventory/{sku}/receipts", RECEIVE, body), RECEIVED)


class Dashboard(Subscriber):
    """Follows the log."""

    abstract = True


class Mix(Scenario):
    """`dashboard` is the class of the users that watch."""

    dashboard: ClassVar[type[Dashboard]]
    users = 60
    rate = 30.0
    thresholds = (
        Latency(Scenario.row, 50, 150, "most of what people do is looking, and that should be at once"),
        Latency(Scenario.row, 99, 2_000, "an order and its payment, one after the other, beside everything else"),
        Latency(PLACE, 99, 1_000, "after a second people begin to wonder whether they have ordered"),
        Latency(EVENTS, 99, 1_000, "staff act on what the dashboard shows"),
        Failures(0.0, "nobody's work may fail because of somebody else's"),
    )

    def add_options(self, parser: LocustArgumentParser) -> None:
        parser.add_argument("--watchers", type=int, default=20, help="WebSockets that follow the log")
        parser.add_argument("--rounds", type=int, default=50, help="Count stock for all baskets this many times over")

    def cast(self, options: Any) -> None:
        self.dashboard.fixed_count = options.watchers

    def watchers(self, options: Any) -> int:
        return int(options.watchers)

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        stock_baskets(staff, options.rounds)
        return {}

    def check(self, outcome: Outcome) -> Iterable[Check]:
        yield orders_are_in_the_log(outcome)
        yield all_had_an_outcome(outcome)
        yield none_were_refused(outcome)
        yield confirmations_are_in_the_log(outcome)
        because = "what is on the shelf must be on the books, once"
        yield are_in_the_log(outcome, "receipts", RECEIVED, "stock.received", because=because)
        yield pages_are_right(outcome)
