"""A calm shop, then ten times as many shoppers from one moment to the next, then calm again.

Arrivals order real baskets (open). In the spike they may wait, or be told to come back; nobody is left without an
outcome, and soon afterwards everything is as fast as before.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from locust.argument_parser import LocustArgumentParser

from loadtests.frame.answers import all_had_an_outcome, none_were_refused, orders_are_in_the_log
from loadtests.frame.arrivals import Stage, since_ms
from loadtests.frame.baskets import order_basket, stock_baskets
from loadtests.frame.enact import enact
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import Arriving
from loadtests.frame.staff import Staff
from loadtests.frame.verdict import Check, Failures, Latency, Row

CALM = Row("OPEN", "arrivals before the spike")
PEAK = Row("OPEN", "arrivals in the spike")
AFTER = Row("OPEN", "arrivals once it is over, and a while has passed")


class Arrival(Arriving):
    """Orders a real basket, and notes in which phase it came."""

    def act(self) -> None:
        order_basket(self)
        props = self.run_.scene.props
        came = self.run_.since_opened(self.intended)
        if came < props["peak_begins"]:
            row = CALM
        elif came < props["peak_ends"]:
            row = PEAK
        elif came >= props["recovered"]:
            row = AFTER
        else:
            return
        self.run_.time(row, since_ms(self.intended, time.perf_counter()))


class Spike(Scenario):
    name = "spike"
    users = 150
    run_time = 40
    rate = 20.0
    thresholds = (
        Latency(CALM, 99, 1_000, "what is normal here"),
        Latency(PEAK, 99, 15_000, "a crowd may wait, but not for longer than it believes that something happens"),
        Latency(AFTER, 99, 1_000, "as fast as before: a queue that does not drain is an outage that lasts"),
        Failures(0.0, "being told to come back is an answer; an error is not"),
    )

    def add_options(self, parser: LocustArgumentParser) -> None:
        parser.add_argument("--calm", type=float, default=10.0, help="Seconds before the spike")
        parser.add_argument("--peak", type=float, default=10.0, help="Seconds of the spike")
        parser.add_argument("--factor", type=float, default=10.0, help="How many times as many come in the spike")
        parser.add_argument("--recovery", type=float, default=10.0, help="Seconds after it that do not count yet")

    def stages(self, options: Any) -> Sequence[Stage]:
        rate = options.rate
        return [Stage(rate, options.calm), Stage(rate * options.factor, options.peak), Stage(rate)]

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        stock_baskets(staff, 20)
        ends = options.calm + options.peak
        return {"peak_begins": options.calm, "peak_ends": ends, "recovered": ends + options.recovery}

    def check(self, outcome: Outcome) -> Iterable[Check]:
        return orders_are_in_the_log(outcome), all_had_an_outcome(outcome), none_were_refused(outcome)


enact(Spike())
