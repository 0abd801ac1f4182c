"""Visitors who look around: pages of products, searches, single products; nobody signs in.

Arrivals look at one page each (open); the other users read before they go on (closed). A page that was seen before is
asked for with its tag, and may be answered with 304.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from locust import between, task

from loadtests.frame.baskets import stock_baskets
from loadtests.frame.browsing import LIST, PRODUCT, SEARCH, look_around, pages_are_right
from loadtests.frame.enact import enact
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import Arriving, Shopper
from loadtests.frame.staff import Staff
from loadtests.frame.verdict import Check, Failures, Latency


class Arrival(Arriving):
    """Looks at one page."""

    weight = 3

    def act(self) -> None:
        look_around(self)


class Reader(Shopper):
    """Reads what is on a page before going on to the next."""

    weight = 1
    wait_time = between(1.0, 4.0)

    @task
    def look(self) -> None:
        look_around(self)


class Browse(Scenario):
    name = "browse"
    rate = 60.0
    row = Scenario.row
    thresholds = (
        Latency(row, 50, 50, "a page that is kept ready should feel like one"),
        Latency(row, 99, 500, "half a second more, and measurably fewer people go on"),
        Latency(LIST, 99, 300, "pages of the catalogue are kept rendered"),
        Latency(PRODUCT, 99, 500, "one look-up by an index"),
        Latency(SEARCH, 99, 1_000, "ranks thousands of products"),
        Failures(0.0, "nothing that can be looked at may fail because many look at it"),
    )

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        stock_baskets(staff, 1)
        return {}

    def check(self, outcome: Outcome) -> Iterable[Check]:
        return (pages_are_right(outcome),)


enact(Browse())
