"""The last minute, counted: in whatever order the events arrive, and whenever it is read."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.realtime.statistics.figures import Latency, Missed, Selling
from gateway.realtime.statistics.window import WINDOW_SECONDS, Window
from runtime.records import EventRecord

NOW = 1_800_000_000


def event(kind: str, at: float, data: dict[str, Any], *, waited_ms: int = 0) -> EventRecord:
    command_id = UUID(int=(round(at * 1000) - waited_ms) << 80)
    return EventRecord(1, kind, "x", command_id, "ann", round(at * 1e6), msgspec.Raw(json.dumps(data).encode()))


def placed(
    at: float, total: int = 100, pieces: int = 1, *, sku: str = "MUG", currency: str = "GBP", waited_ms: int = 0
) -> EventRecord:
    data = {"currency": currency, "total_minor": total, "lines": [{"sku": sku, "quantity": pieces}]}
    return event("order.placed", at, data, waited_ms=waited_ms)


def refused(at: float, code: str, particulars: dict[str, Any], command: str = "PlaceOrder") -> EventRecord:
    return event("command.rejected", at, {"command": command, "code": code, "particulars": particulars})


def test_a_minute_of_orders() -> None:
    window = Window()
    for record in (
        placed(NOW - WINDOW_SECONDS - 5),
        placed(NOW - 30, 250, 3, waited_ms=4),
        placed(NOW - 1, 100, 1, sku="CLOCK", currency="EUR", waited_ms=6),
        placed(NOW, 50, 9, sku="CLOCK", waited_ms=80),
        event("order.confirmed", NOW, {}),
        event("order.cancelled", NOW, {}),
        event("order.expired", NOW, {}),
    ):
        window.add(record)
    minute = window.summary(NOW)
    assert minute.orders_per_minute == 3
    assert minute.orders_last_second == 1, "the second that has just begun is not the last one"
    assert minute.revenue_minor_per_minute == {"GBP": 300, "EUR": 100}
    assert minute.top_skus == [Selling("CLOCK", 10), Selling("MUG", 3)]
    assert (window.pieces("CLOCK"), window.pieces("NONE")) == (10, 0)
    assert (minute.confirmed_per_minute, minute.cancelled_per_minute, minute.expired_per_minute) == (1, 1, 1)
    assert minute.accept_to_commit_ms.p99 == pytest.approx(80, rel=0.05)


def test_refusals_and_missed_skus() -> None:
    window = Window()
    short = {"lines": [{"sku": "MUG", "requested": 5, "available": 0}]}
    for record in (
        refused(NOW - 3, "insufficient_stock", short),
        refused(NOW - 2, "insufficient_stock", short),
        refused(NOW - 2, "unknown_sku", {"skus": ["NONE"]}),
        refused(NOW - 1, "insufficient_stock", short, command="CorrectStock"),
        refused(NOW - 1, "insufficient_stock", short, command="CompleteCheckout"),
        refused(NOW - 1, "checkout_changed", {}, command="CompleteCheckout"),
        event("command.failed", NOW, {"command": "ReceiveStock", "code": "command_failed", "detail": "a bug"}),
    ):
        window.add(record)
    minute = window.summary(NOW)
    assert minute.rejections == {
        "insufficient_stock": 4,
        "unknown_sku": 1,
        "checkout_changed": 1,
        "command_failed": 1,
    }
    assert minute.refused_orders_per_minute == 4
    assert minute.missed_skus == [Missed("MUG", 3)]


def reported(at: float, *entries: str, change: dict[str, Any] | None = None) -> EventRecord:
    told = [{"type": entry, "reference": "r", "amount_minor": 300} for entry in entries]
    return event("payment.reported", at, {"provider": "sandbox", "entries": told, "change": change})


def changed(charged_minor: int, refunded_minor: int = 0, currency: str = "GBP") -> dict[str, Any]:
    return {"currency": currency, "charged_minor": charged_minor, "refunded_minor": refunded_minor}


def test_what_was_paid_is_what_was_charged_less_what_was_refunded() -> None:
    window = Window()
    for record in (
        reported(NOW - WINDOW_SECONDS - 5, "charge_success", change=changed(9_999)),
        reported(NOW - 30, "charge_success", change=changed(300)),
        reported(NOW - 20, "refund_success", change=changed(0, 120)),
        event("payment.card_moved", NOW - 10, {"entry": {"type": "charge_success"}, "change": changed(50)}),
        reported(NOW - 9, "charge_success", change=changed(70, currency="EUR")),
        reported(NOW - 5, "charge_back", change=changed(-70, currency="EUR")),
        reported(NOW - 4, "charge_success"),  # of a release that told no change
    ):
        window.add(record)
    minute = window.summary(NOW)
    assert minute.paid_minor_per_minute == {"GBP": 230}
    assert (minute.charged_payments_per_minute, minute.failed_payments_per_minute) == (3, 0)
    assert window.summary(NOW + WINDOW_SECONDS + 2) == Window().summary(NOW)


def test_payments_that_fail_and_checkouts_that_are_completed() -> None:
    window = Window()
    no_act = {"entries": [{"type": "charge_failure", "reference": None}]}
    for record in (
        reported(NOW - 3, "charge_failure", "charge_failure"),
        reported(NOW - 2, "authorization_failure"),
        reported(NOW - 2, "refund_failure", "cancel_failure"),
        event("payment.reported", NOW - 1, no_act),
        event("checkout.completed", NOW - 1, {}),
    ):
        window.add(record)
    minute = window.summary(NOW)
    assert (minute.charged_payments_per_minute, minute.failed_payments_per_minute) == (0, 2)
    assert minute.completed_checkouts_per_minute == 1
    assert window.summary(NOW + WINDOW_SECONDS + 2) == Window().summary(NOW)


def test_an_event_that_cannot_be_read_is_not_counted() -> None:
    window = Window()
    window.add(event("order.placed", NOW, {"total_minor": "many"}))
    assert window.summary(NOW) == Window().summary(NOW)


def test_nothing_happened() -> None:
    minute = Window().summary(NOW)
    assert minute.orders_per_minute == 0
    assert minute.accept_to_commit_ms == Latency(None, None)


@given(st.lists(st.integers(0, 200), max_size=60).flatmap(lambda ages: st.permutations(ages)))
def test_every_order_of_the_minute_counts_once(ages: list[int]) -> None:
    window = Window()
    for age in ages:
        window.add(placed(NOW - age))
    counted = sum(age <= WINDOW_SECONDS for age in ages)
    minute = window.summary(NOW)
    assert minute.orders_per_minute == window.pieces("MUG") == counted
    assert minute.revenue_minor_per_minute == ({"GBP": 100 * counted} if counted else {})


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 3)), max_size=60))
def test_an_expired_window_equals_an_empty_one(orders: list[tuple[int, int]]) -> None:
    window = Window()
    now = NOW
    for pause, pieces in orders:
        now += pause
        window.add(placed(now, 100 * pieces, pieces))
        window.summary(now)
    assert window.summary(now + WINDOW_SECONDS + 2) == Window().summary(now)


@given(st.lists(st.floats(0, 100_000), min_size=1, max_size=200))
def test_latencies_are_right_to_some_percent(waited: list[float]) -> None:
    window = Window()
    for milliseconds in waited:
        window.add(placed(NOW, waited_ms=round(milliseconds)))
    whole = sorted(map(round, waited))
    found = window.summary(NOW).accept_to_commit_ms
    for quantile, percent in ((found.p50, 50), (found.p99, 99)):
        exact = whole[-(-len(whole) * percent // 100) - 1]
        assert quantile == pytest.approx(exact, rel=0.06, abs=0.6)
