"""The outcomes of a run's orders: how often shoppers were told what, and whether the log agrees.

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
    """The parts of a run's outcome that are needed here (see `loadtests.frame.scenario.Outcome`)."""

    @property
    def tallies(self) -> Counter[str]: ...

    def events(self) -> Iterator[dict[str, Any]]: ...


def not_done(code: str) -> str:
    """The name of the tally of requests that were not done, for this reason."""
    return f"{_NOT_DONE}{code}"


def orders_are_in_the_log(outcome: Seen) -> Check:
    """Whether the log has exactly the orders that shoppers were told of; a run without any has failed."""
    return are_in_the_log(
        outcome, "orders", PLACED, "order.placed", because="an accepted order is never lost, and is placed once"
    )


def confirmations_are_in_the_log(outcome: Seen) -> Check:
    """Whether the log has exactly the confirmations that shoppers were told of."""
    return are_in_the_log(
        outcome, "confirmations", CONFIRMED, "order.confirmed", because="who has paid for an order gets it, once"
    )


def are_in_the_log(outcome: Seen, what: str, tally: str, type_: str, *, because: str) -> Check:
    """Whether the log has as many events of this type as shoppers were told of, and at least one."""
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
    """Whether every shopper got an outcome in the end, however often they had to retry."""
    left = sum(outcome.tallies[not_done(code)] for code in _NO_OUTCOME)
    return check(
        "every shopper had an outcome",
        not left,
        wanted="0 without",
        measured=f"{left:,} without",
        because="who is turned away for a moment is told when to come back, and is served then",
    )


def none_were_refused(outcome: Seen) -> Check:
    """Whether everything requested was done, except orders that found nothing left, and requests without an outcome."""
    fine = {not_done(code) for code in (_NOTHING_LEFT, *_NO_OUTCOME)}
    refused = {name: n for name, n in outcome.tallies.items() if name.startswith(_NOT_DONE) and name not in fine}
    return check(
        "nothing valid was refused",
        not refused,
        wanted="0",
        measured=", ".join(f"{n:,} {name}" for name, n in sorted(refused.items())) or "0",
        because="what is on sale and in stock can be ordered",
    )
