"""What shoppers were told is compared with the log, and a run in which nothing was done has shown nothing."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from loadtests.frame.answers import (
    PLACED,
    all_had_an_outcome,
    are_in_the_log,
    none_were_refused,
    orders_are_in_the_log,
)
from loadtests.frame.verdict import FAILED, PASSED


class Run:
    """A run that is over: what was told, and which events are in the log."""

    def __init__(self, told: Mapping[str, int], *logged: str) -> None:
        self.tallies = Counter(told)
        self._logged = logged

    def events(self) -> Iterator[dict[str, Any]]:
        return ({"type": type_} for type_ in self._logged)


ORDERS = ("order.placed", "stock.reserved", "order.placed")


@pytest.mark.parametrize(
    ("told", "outcome"), [({PLACED: 2}, PASSED), ({PLACED: 1}, FAILED), ({PLACED: 3}, FAILED), ({}, FAILED)]
)
def test_confirmed_orders_are_compared_with_the_log(told: Mapping[str, int], outcome: str) -> None:
    assert orders_are_in_the_log(Run(told, *ORDERS)).outcome == outcome


def test_a_run_without_an_order_shows_nothing() -> None:
    for run in (Run({}), Run({"told: unknown_sku": 100}), Run({"told: insufficient_stock": 100}, "stock.received")):
        said = orders_are_in_the_log(run)
        assert said.failed
        assert said.because == "a run without any shows nothing"
    assert are_in_the_log(Run({}), "receipts", "receipts", "stock.received", because="why").failed


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ({PLACED: 100}, PASSED),
        ({PLACED: 100, "told: insufficient_stock": 9}, PASSED),
        ({PLACED: 100, "told: gave_up": 1, "told: undecided": 1}, PASSED),  # all_had_an_outcome counts them
        ({PLACED: 100, "came back: mailbox_full": 9, "sockets closed: 1006": 1}, PASSED),
        ({PLACED: 100, "told: unknown_sku": 1}, FAILED),
        ({"told: unknown_sku": 100}, FAILED),
        ({PLACED: 100, "told: ": 1}, FAILED),
    ],
)
def test_only_what_is_sold_out_is_refused(told: Mapping[str, int], outcome: str) -> None:
    assert none_were_refused(Run(told)).outcome == outcome


def test_what_was_refused_is_named() -> None:
    said = none_were_refused(Run({"told: unknown_sku": 1_100, "told: price_changed": 1}))
    assert said.measured == "1 told: price_changed, 1,100 told: unknown_sku"


@pytest.mark.parametrize("code", ["gave_up", "undecided"])
def test_nobody_is_left_without_an_outcome(code: str) -> None:
    assert all_had_an_outcome(Run({PLACED: 1})).outcome == PASSED
    assert all_had_an_outcome(Run({PLACED: 1, f"told: {code}": 1})).failed
