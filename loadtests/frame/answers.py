"""What became of the orders of a run, by how often shoppers were told what; and whether that is what the log says.

It knows nothing of Locust, and counts by names: PLACED, CONFIRMED, and `told: CODE` for what was not done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Protocol

from loadtests.frame.verdict import Check, check

PLACED: Final = "orders placed"
CONFIRMED: Final = "orders confirmed"

_NOT_DONE: Final = "told: "
_NO_OUTCOME: Final = ("gave_up", "undecided")
_NOTHING_LEFT: Final = "insufficient_stock"


class Seen(Protocol):
    """The parts of a run's outcome that tell of it (see `loadtests.frame.scenario.Outcome`)."""

    @property
    def tallies(self) -> Counter[str]: ...

    def events(self) -> Iterator[dict[str, Any]]: ...


def not_done(code: str) -> str:
    """The name under which it is counted that something was not done."""
    return f"{_NOT_DONE}{code}"


def orders_are_in_the_log(outcome: Seen) -> Check:
    """Whether each order that a shopper was told of is in the log, and no other; a run without any has failed."""
    return are_in_the_log(
        outcome, "orders", PLACED, "order.placed", because="an accepted order is never lost, and is placed once"
    )


def confirmations_are_in_the_log(outcome: Seen) -> Check:
    """The same of orders that were confirmed."""
    return are_in_the_log(
        outcome, "confirmations", CONFIRMED, "order.confirmed", because="who has paid for an order gets it, once"
    )


def are_in_the_log(outcome: Seen, what: str, tally: str, type_: str, *, because: str) -> Check:
    """Whether there are as many events of this type as somebody was told of, and any at all."""
    logged = sum(event["type"] == type_ for event in outcome.events())
    told = outcome.tallies[tally]
    return check(
        f"{what} told of are those in the log",
        0 < told == logged,
        wanted=f"{told:,} {what}" if told else "any",
        measured=f"{logged:,} in the log",
        because=because if told else "a run without any shows nothing",
    )


def all_had_an_outcome(outcome: Seen) -> Check:
    """Whether nobody was left without an answer, however often they had to come back."""
    left = sum(outcome.tallies[not_done(code)] for code in _NO_OUTCOME)
    return check(
        "every shopper had an outcome",
        not left,
        wanted="0 without",
        measured=f"{left:,} without",
        because="who is turned away for a moment is told when to come back, and is served then",
    )


def none_were_refused(outcome: Seen) -> Check:
    """Whether all that was asked for was done, but for orders that found nothing left, and what has no outcome."""
    fine = {not_done(code) for code in (_NOTHING_LEFT, *_NO_OUTCOME)}
    refused = {name: n for name, n in outcome.tallies.items() if name.startswith(_NOT_DONE) and name not in fine}
    return check(
        "nothing valid was refused",
        not refused,
        wanted="0",
        measured=", ".join(f"{n:,} {name}" for name, n in sorted(refused.items())) or "0",
        because="what is on sale and in stock can be ordered",
    )
