"""Real baskets, placed at a steady rate by customers who wait for the outcome, beside customers who take their time.

The baskets are those of `loadtests/data`. Arrivals order and wait (open); the other users think between what they do,
look at their orders, and sometimes cancel one (closed). Stock is counted for all baskets, `--rounds` times over.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from locust import between, task
from locust.argument_parser import LocustArgumentParser

from loadtests.frame.answers import all_had_an_outcome, none_were_refused, orders_are_in_the_log
from loadtests.frame.baskets import order_basket, stock_baskets
from loadtests.frame.enact import enact
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import ORDERS, PLACE, Arriving, Shopper
from loadtests.frame.staff import Staff
from loadtests.frame.verdict import Check, Failures, Latency


class Arrival(Arriving):
    """Orders a real basket."""

    weight = 3

    def act(self) -> None:
        order_basket(self)


class Customer(Shopper):
    """Somebody who takes their time."""

    weight = 1
    wait_time = between(0.5, 2.0)

    def on_start(self) -> None:
        super().on_start()
        self._orders: list[str] = []

    @task(5)
    def order_something(self) -> None:
        told = order_basket(self)
        if told.done:
            self._orders.append(told.order_id)

    @task(3)
    def look_at_orders(self) -> None:
        self.client.get(f"{ORDERS}?limit=10", headers=self.headers(), name=f"{ORDERS}?limit=10")

    @task(1)
    def think_better_of_it(self) -> None:
        if self._orders:
            self.move(self._orders.pop(), "cancel")


class Orders(Scenario):
    name = "orders"
    rate = 30.0
    thresholds = (
        Latency(Scenario.row, 50, 100, "half of all shoppers see an order confirmed as if it were at once"),
        Latency(Scenario.row, 99, 1_000, "after a second people begin to wonder whether they have ordered"),
        Latency(PLACE, 99, 1_000, "the same from the send, which includes those who think: nobody waits longer"),
        Failures(0.0, "an order that is valid gets an outcome, and nothing else"),
    )

    def add_options(self, parser: LocustArgumentParser) -> None:
        parser.add_argument("--rounds", type=int, default=20, help="Count stock for all baskets this many times over")

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        stock_baskets(staff, options.rounds)
        return {}

    def check(self, outcome: Outcome) -> Iterable[Check]:
        return orders_are_in_the_log(outcome), all_had_an_outcome(outcome), none_were_refused(outcome)


enact(Orders())
