"""A few pieces, and many who order one and then do not pay: what they hold comes back, and others get it.

Arrivals order one piece (open); a third confirm it, some cancel, and the rest go away. In the end nothing is held any
more, and every piece is either sold or on the shelf. `--hold-seconds` is the system's TIDEGATE_HOLD_SECONDS; on a
system of its own it is short, so that a run sees many holds expire.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import gevent
from locust.argument_parser import LocustArgumentParser

from domain.model import Wanted
from loadtests.frame.answers import (
    CONFIRMED,
    PLACED,
    all_had_an_outcome,
    confirmations_are_in_the_log,
    none_were_refused,
    orders_are_in_the_log,
)
from loadtests.frame.enact import enact
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import PLACE, Arriving
from loadtests.frame.staff import Goods, Staff
from loadtests.frame.verdict import Check, Failures, Latency, check
from ops.articles import Article

GRACE_SECONDS: Final = 60.0
"""How much longer than promised a hold may last; the alert for overdue holds says the same."""

_ENDS: Final = frozenset({"order.confirmed", "order.cancelled", "order.expired"})


class Arrival(Arriving):
    """Orders one piece, and pays for it, or thinks better of it, or forgets it."""

    def act(self) -> None:
        told = self.order([Wanted(self.run_.scene.props["sku"], 1)])
        self.tally(told, PLACED)
        if not told.done:
            return
        chosen = random.random()
        if chosen < 0.33:
            paid = self.move(told.order_id, "confirm")
            if paid.code != "order_state_conflict":  # too late; whether holds end too early is checked below
                self.tally(paid, CONFIRMED)
        elif chosen < 0.5:
            self.move(told.order_id, "cancel")


class HoldAndAbandon(Scenario):
    name = "hold_and_abandon"
    rate = 25.0
    thresholds = (
        Latency(Scenario.row, 99, 2_000, "an order and its payment, one after the other"),
        Latency(PLACE, 99, 1_000, "pieces that come back are found without searching for them"),
        Failures(0.0, "sold out is an answer; an error is not"),
    )

    def add_options(self, parser: LocustArgumentParser) -> None:
        parser.add_argument("--pieces", type=int, default=300, help="Pieces for sale")
        parser.add_argument("--hold-seconds", type=float, default=5.0, help="How long the system holds an order")

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        sku = f"HOLD-{secrets.token_hex(4).upper()}"
        staff.stock([Goods(Article(sku, f"Held {sku}", 1_500, "GBP"), options.pieces)])
        return {"sku": sku}

    def check(self, outcome: Outcome) -> Iterable[Check]:
        sku, pieces = outcome.props["sku"], outcome.options.pieces
        hold_seconds, confirmed = outcome.options.hold_seconds, outcome.tallies[CONFIRMED]
        until = time.monotonic() + hold_seconds + GRACE_SECONDS
        while (stock := outcome.staff.inventory(sku))["reserved"] and time.monotonic() < until:
            gevent.sleep(1.0)
        yield check(
            "nothing is held any more",
            stock["reserved"] == 0,
            wanted=f"0 reserved, {hold_seconds + GRACE_SECONDS:.0f} s after the last order",
            measured=f"{stock['reserved']:,} reserved",
            because="what nobody pays for must go back on sale",
        )
        yield orders_are_in_the_log(outcome)
        yield confirmations_are_in_the_log(outcome)
        yield all_had_an_outcome(outcome)
        yield none_were_refused(outcome)
        yield check(
            "every piece is sold or on the shelf",
            stock["on_hand"] == pieces - confirmed,
            wanted=f"{pieces:,} less {confirmed:,} sold",
            measured=f"{stock['on_hand']:,} on hand",
            because="a hold that ends neither loses pieces nor makes some",
        )
        holds = Holds(outcome.events(), sku)
        yield check(
            "at no time was more promised than there was",
            holds.most_promised <= pieces,
            wanted=f"at most {pieces:,} held or sold at once",
            measured=f"{holds.most_promised:,}",
            because="a piece that comes back may be sold again, but not before",
        )
        yield check(
            "holds end when they are to",
            holds.expired > 0 and hold_seconds <= holds.shortest and holds.longest <= hold_seconds + GRACE_SECONDS,
            wanted=f"some expire, after {hold_seconds:g} to {hold_seconds + GRACE_SECONDS:g} s",
            measured=f"{holds.expired:,} expired, after {holds.shortest:.1f} to {holds.longest:.1f} s",
            because="who is still typing a card number must not lose the piece; others wait for it",
        )


class Holds:
    """What the log says of the orders of one SKU: how many expired, after how many seconds, and how many pieces were
    held or sold at the worst moment."""

    def __init__(self, events: Iterable[dict[str, Any]], sku: str) -> None:
        held: dict[str, tuple[datetime, int]] = {}
        promised = 0
        self.most_promised = self.expired = 0
        self.shortest, self.longest = float("inf"), 0.0
        for event in events:
            order, at = event["subject"], datetime.fromisoformat(event["time"])
            if event["type"] == "order.placed":
                pieces = sum(line["quantity"] for line in event["data"]["lines"] if line["sku"] == sku)
                held[order] = at, pieces
                promised += pieces
                self.most_promised = max(self.most_promised, promised)
            elif event["type"] in _ENDS and order in held:
                since, pieces = held.pop(order)
                if event["type"] != "order.confirmed":
                    promised -= pieces
                if event["type"] == "order.expired":
                    self.expired += 1
                    seconds = (at - since).total_seconds()
                    self.shortest, self.longest = min(self.shortest, seconds), max(self.longest, seconds)


enact(HoldAndAbandon())
