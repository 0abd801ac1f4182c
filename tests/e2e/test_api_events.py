"""The log over HTTP: every event once, in order, without gaps, as CloudEvents."""

import re
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.feed import last_seq, log_identity
from tests.e2e.shop import Shop


async def _walk(shop: Shop, limit: int) -> list[dict[str, Any]]:
    """The whole log, page by page."""
    events: list[dict[str, Any]] = []
    while True:
        page = (await shop.staff.get("/events", after=len(events), limit=limit)).ok()
        assert page["last_seq"] == len(events) + len(page["items"])
        if not page["items"]:
            return events
        assert len(page["items"]) == limit or page["last_seq"] == page["items"][-1]["seq"]
        events += page["items"]


async def test_the_log_has_no_gap_whatever_the_page(shop: Shop) -> None:
    sku = await shop.product(on_hand=10)
    customer = shop.customer()
    order = await customer.placed({sku: 1})
    (await customer.cancel(order["id"])).ok()
    (await customer.place({sku: 11})).problem(409, "insufficient_stock")

    events = await _walk(shop, 50)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert await _walk(shop, 7) == events
    assert [event["type"] for event in events[-4:]] == [
        "stock.received",
        "order.placed",
        "order.cancelled",
        "command.rejected",
    ]
    assert [event["actor"] for event in events[-4:]] == [shop.staff.principal] + [customer.principal] * 3
    assert [event["subject"] for event in events[-4:-1]] == [sku, order["id"], order["id"]]


async def test_events_are_cloudevents(shop: Shop) -> None:
    """The required attributes (CloudEvents 1.0.2, 3.1) and their types, and the names of the extensions (3.2)."""
    await shop.product(on_hand=1)
    events = await _walk(shop, 50)
    for event in events:
        assert event["specversion"] == "1.0"
        assert event["id"] == str(event["seq"])
        assert event["source"] == f"urn:uuid:{await log_identity(shop.database)}"
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", event["type"])
        assert event["subject"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event["time"])
        assert event["datacontenttype"] == "application/json"
        assert isinstance(event["data"], dict)
        assert all(re.fullmatch("[a-z0-9]{1,20}", name) for name in event)
    times = [datetime.fromisoformat(event["time"]) for event in events]
    assert max(times) == times[-1]


async def test_the_page_at_the_end_is_empty(shop: Shop) -> None:
    last = await last_seq(shop.database)
    identity = await log_identity(shop.database)
    assert (await shop.staff.get("/events", after=last)).ok() == {"items": [], "last_seq": last, "log": identity}


async def test_the_size_of_a_page_is_limited(shop: Shop) -> None:
    for _ in range(51):
        await shop.product(on_hand=1)
    assert len((await shop.staff.get("/events", limit=10**9)).ok()["items"]) == 50


@pytest.mark.parametrize("after", ["-1", "abc", "1.5", "", str(2**63), "9" * 5_000])
async def test_an_invalid_seq_is_refused(shop: Shop, after: str) -> None:
    assert (await shop.staff.get("/events", after=after)).pointers() == {"/query/after"}
