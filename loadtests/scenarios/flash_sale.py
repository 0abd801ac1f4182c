"""N pieces of one thing, many times as many buyers, all within a minute; and watchers who see the stock fall.

Every buyer comes once, at a rate, and wants one piece (open arrivals). Whoever gets one confirms the order, which sells
it. Exactly N are sold, and every other buyer is told why not. The run is over when all buyers have been.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Any

from locust.argument_parser import LocustArgumentParser

from domain.model import Wanted
from loadtests.frame.answers import not_done
from loadtests.frame.enact import enact
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.shoppers import PLACE, Arriving
from loadtests.frame.staff import Goods, Staff
from loadtests.frame.subscribers import EVENTS, Subscriber
from loadtests.frame.verdict import Check, Failures, Latency, Row, check
from ops.articles import Article

SOLD = "buyers who got one"
SOLD_OUT = "insufficient_stock"
PRICE_MINOR = 9_900
CURRENCY = "GBP"


class Buyer(Arriving):
    """Wants one piece, and confirms the order if there is one."""

    def act(self) -> None:
        told = self.order([Wanted(self.run_.scene.props["sku"], 1)])
        if told.done:
            told = self.move(told.order_id, "confirm")
        self.tally(told, SOLD)


class Watcher(Subscriber):
    """A dashboard, which follows the whole log."""


class FlashSale(Scenario):
    name = "flash_sale"
    users = 400
    run_time = 900
    rate = 120.0
    row = Row("OPEN", "buyers, from their intended start")
    thresholds = (
        Latency(row, 50, 500, "most buyers know at once"),
        Latency(row, 99, 3_000, "after three seconds people press the button again, which makes the crowd larger"),
        Latency(PLACE, 99, 3_000, "from the send: what the shop itself takes"),
        Latency(EVENTS, 99, 2_000, "a stock display that is seconds behind sells what is gone"),
        Failures(0.0, "sold out is an answer; an error is not"),
    )

    def add_options(self, parser: LocustArgumentParser) -> None:
        parser.add_argument("--pieces", type=int, default=1_000, help="Pieces for sale")
        parser.add_argument("--buyers", type=int, default=10_000, help="Buyers, each of whom wants one")
        parser.add_argument("--watchers", type=int, default=20, help="WebSockets that follow the log")

    def cast(self, options: Any) -> None:
        Watcher.fixed_count = options.watchers

    def watchers(self, options: Any) -> int:
        return int(options.watchers)

    def arrivals(self, options: Any) -> int:
        return int(options.buyers)

    def prepare(self, staff: Staff, options: Any) -> dict[str, Any]:
        sku = f"FLASH-{secrets.token_hex(4).upper()}"
        staff.stock([Goods(Article(sku, f"Flash sale {sku}", PRICE_MINOR, CURRENCY), options.pieces)])
        return {"sku": sku}

    def check(self, outcome: Outcome) -> Iterable[Check]:
        pieces, buyers = outcome.options.pieces, outcome.options.buyers
        wanted = min(pieces, buyers)
        tallies, sku = outcome.tallies, outcome.props["sku"]
        sold, told_so = tallies[SOLD], tallies[not_done(SOLD_OUT)]
        yield check(
            "exactly as many buyers got one as there were pieces",
            sold == wanted,
            wanted=f"{wanted:,}",
            measured=f"{sold:,}",
            because="one more is a broken promise, one less is a piece unsold before a crowd",
        )
        yield check(
            "every other buyer was told that it is sold out",
            told_so == buyers - wanted,
            wanted=f"{buyers - wanted:,} told `{SOLD_OUT}`",
            measured=f"{told_so:,}",
            because="who is not told why comes back, or complains",
        )
        counted = orders_of(sku, outcome.events())
        yield check(
            "the log has as many orders, placed and confirmed",
            counted == (wanted, wanted),
            wanted=f"{wanted:,} and {wanted:,}",
            measured=f"{counted[0]:,} and {counted[1]:,}",
            because="the log is what happened, whatever clients were told",
        )
        stock = outcome.staff.inventory(sku)
        yield check(
            "the shelf",
            (stock["on_hand"], stock["reserved"]) == (pieces - wanted, 0),
            wanted=f"{pieces - wanted:,} on hand, 0 reserved",
            measured=f"{stock['on_hand']:,} on hand, {stock['reserved']:,} reserved",
            because="what is sold has left the shelf",
        )


def orders_of(sku: str, events: Iterable[dict[str, Any]]) -> tuple[int, int]:
    """The pieces of a SKU in orders that were placed, and in those of them that were confirmed."""
    placed: dict[str, int] = {}
    confirmed = 0
    for event in events:
        if event["type"] == "order.placed":
            placed[event["subject"]] = sum(line["quantity"] for line in event["data"]["lines"] if line["sku"] == sku)
        elif event["type"] == "order.confirmed":
            confirmed += placed.get(event["subject"], 0)
    return sum(placed.values()), confirmed


enact(FlashSale())
