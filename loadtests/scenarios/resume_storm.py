"""Dashboards that all lose their connections at the same moment, again and again, and resume where they were.

Every `--every` seconds each of them loses its connection without a word, as when a network goes away, and asks for what
came after the last event it saw. In the end each has seen every event once, whatever was cut.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gevent
from locust.argument_parser import LocustArgumentParser

from loadtests.frame.answers import all_had_an_outcome, none_were_refused, orders_are_in_the_log
from loadtests.frame.baskets import order_basket, stock_baskets
from loadtests.frame.enact import enact
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import Arriving
from loadtests.frame.staff import Staff
from loadtests.frame.subscribers import SUBSCRIBE, Subscriber
from loadtests.frame.verdict import Check, Failures, Latency, check

CUT = "connections cut"


class Dashboard(Subscriber):
    """Follows the log, and loses its connection with all others."""

    def on_start(self) -> None:
        super().on_start()
        self._losing = gevent.spawn(self._lose_again_and_again)

    def on_stop(self) -> None:
        self._losing.kill(block=False)
        super().on_stop()

    def _lose_again_and_again(self) -> None:
        run, every = self.run_, self.run_.scene.props["every"]
        while not run.stopping.wait(every - run.opened_for() % every):
            if self.cut():
                run.tally(CUT)


class Arrival(Arriving):
    """Orders a real basket."""

    def act(self) -> None:
        order_basket(self)


class ResumeStorm(Scenario):
    name = "resume_storm"
    users = 10
    run_time = 60
    rate = 10.0
    thresholds = (
        Latency(SUBSCRIBE, 50, 2_000, "a storm is over before somebody reloads the page"),
        Latency(SUBSCRIBE, 99, 5_000, "the last of them included"),
        Latency(Scenario.row, 99, 2_000, "who resumes must not keep others from ordering"),
        Failures(0.0, "no socket is refused, and no order fails"),
    )

    def add_options(self, parser: LocustArgumentParser) -> None:
        parser.add_argument("--watchers", type=int, default=300, help="WebSockets that follow the log")
        parser.add_argument("--every", type=float, default=10.0, help="Seconds between two storms")

    def cast(self, options: Any) -> None:
        Dashboard.fixed_count = options.watchers

    def watchers(self, options: Any) -> int:
        return int(options.watchers)

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        stock_baskets(staff, 20)
        return {"every": options.every}

    def check(self, outcome: Outcome) -> Iterable[Check]:
        cut, watchers = outcome.tallies[CUT], outcome.options.watchers
        yield check(
            "there was a storm",
            cut >= watchers,
            wanted=f"at least {watchers:,} connections cut",
            measured=f"{cut:,}",
            because="a run without one shows nothing",
        )
        yield orders_are_in_the_log(outcome)
        yield all_had_an_outcome(outcome)
        yield none_were_refused(outcome)


enact(ResumeStorm())
