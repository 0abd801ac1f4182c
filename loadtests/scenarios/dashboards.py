"""A thousand dashboards and more, each of which checks every event it is sent, while orders come in.

Half follow the whole log, half only orders. Each notes how many events it saw, and in the end that is compared with the
log: no gap, no repeat. How many events a second that is in all is the product of both numbers: mind the machine that
plays them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from locust.argument_parser import LocustArgumentParser

from loadtests.frame.answers import all_had_an_outcome, none_were_refused, orders_are_in_the_log
from loadtests.frame.baskets import order_basket, stock_baskets
from loadtests.frame.enact import enact
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import Arriving
from loadtests.frame.staff import Staff
from loadtests.frame.subscribers import EVENTS, SUBSCRIBE, Subscriber
from loadtests.frame.verdict import Check, Failures, Latency


class LogDashboard(Subscriber):
    """Follows the whole log."""


class OrdersDashboard(Subscriber):
    """Follows orders."""

    topic = "orders"


class Arrival(Arriving):
    """Orders a real basket."""

    def act(self) -> None:
        order_basket(self)


class Dashboards(Scenario):
    name = "dashboards"
    users = 10
    run_time = 60
    rate = 5.0
    thresholds = (
        Latency(EVENTS, 50, 500, "a dashboard shows the present"),
        Latency(EVENTS, 99, 2_000, "the last of a thousand is told as good as with the first"),
        Latency(SUBSCRIBE, 99, 5_000, "they all come at once when a shop opens"),
        Latency(Scenario.row, 99, 1_000, "who watches must not slow down who orders"),
        Failures(0.0, "no socket is refused, and no order fails"),
    )

    def add_options(self, parser: LocustArgumentParser) -> None:
        parser.add_argument("--watchers", type=int, default=1_000, help="WebSockets, half of them on the whole log")

    def cast(self, options: Any) -> None:
        OrdersDashboard.fixed_count = options.watchers // 2
        LogDashboard.fixed_count = options.watchers - options.watchers // 2

    def watchers(self, options: Any) -> int:
        return int(options.watchers)

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        stock_baskets(staff, 20)
        return {}

    def check(self, outcome: Outcome) -> Iterable[Check]:
        return orders_are_in_the_log(outcome), all_had_an_outcome(outcome), none_were_refused(outcome)


enact(Dashboards())
