"""Topics: who may subscribe to what, and which events arrive where. Other people's events never do."""

import json
import uuid
from typing import Any

import msgspec
import pytest

from domain.model import Actor, Line
from domain.orders import OrderCancelled, OrderConfirmed, OrderExpired, OrderFulfilled, OrderPlaced
from domain.roles import SCOPES_OF_ROLE
from domain.stock import STOCK
from gateway.identity.caller import Caller
from gateway.realtime.topics import TopicRefused, address, addresses_of
from runtime.records import EventRecord

ORDER = "01a2040d-e920-7a82-a826-61bfcbccac00"
PLACED = {"customer_id": "ann", "lines": [{"sku": "MUG", "quantity": 2}, {"sku": "CLOCK", "quantity": 1}]}


def caller(principal: str, role: str = "customer", scopes: frozenset[str] | None = None) -> Caller:
    return Caller(Actor(principal, role, SCOPES_OF_ROLE[role] if scopes is None else scopes), float("inf"))


ANN, BOB, SAM = caller("ann"), caller("bob"), caller("sam", "staff")


def event(kind: str, subject: str, data: dict[str, Any], actor: str = "ann") -> EventRecord:
    return EventRecord(1, kind, subject, uuid.UUID(int=1), actor, 0, msgspec.Raw(json.dumps(data).encode()))


def hears(actor: Caller, topic: str, record: EventRecord) -> bool:
    return address(topic, actor) in set(addresses_of(record))


@pytest.mark.parametrize("topic", ["log", "orders", "inventory", "inventory/MUG", "stats"])
def test_topics_for_staff_are_refused_to_others(topic: str) -> None:
    assert address(topic, SAM)
    for actor in (ANN, caller("guest:1", "guest"), caller("sam", "staff", frozenset({"orders:read"}))):
        with pytest.raises(TopicRefused) as refused:
            address(topic, actor)
        assert refused.value.code == "forbidden"


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "order",
        "orders/",
        "orders/1",
        "orders/MUG",
        "me/ann",
        "inventory/ ",
        "catalogue/x",
        "stats/x",
        "LOG",
        "a" * 200,
    ],
)
def test_an_unknown_topic_is_refused_to_all(topic: str) -> None:
    for actor in (ANN, SAM):
        with pytest.raises(TopicRefused) as refused:
            address(topic, actor)
        assert refused.value.code == "unknown_topic"


def test_an_order_is_heard_by_staff_and_by_its_customer() -> None:
    placed = event("order.placed", ORDER, PLACED)
    for topic in ("log", "orders", f"orders/{ORDER}", f"orders/{ORDER.upper()}", "inventory", "inventory/mug"):
        assert hears(SAM, topic, placed)
    assert hears(ANN, f"orders/{ORDER}", placed)
    assert hears(ANN, "me", placed)
    assert not hears(BOB, f"orders/{ORDER}", placed)
    assert not hears(BOB, "me", placed)
    assert not hears(SAM, "inventory/DOOR", placed)
    assert not hears(SAM, "me", placed)


def test_a_fulfilled_order_moves_no_stock() -> None:
    fulfilled = event("order.fulfilled", ORDER, {"customer_id": "ann"}, actor="sam")
    assert hears(SAM, "orders", fulfilled)
    assert hears(ANN, "me", fulfilled)
    assert not hears(SAM, "inventory", fulfilled)


def test_an_order_s_event_is_heard_under_every_sku_that_it_moves_and_no_other() -> None:
    """The ledger's moves and the topics must not drift apart."""
    order_id, lines = uuid.UUID(ORDER), (Line("MUG", 2, 100), Line("CLOCK", 1, 900))
    for happened in (
        OrderPlaced(order_id, "ann", "GBP", 1_100, lines),
        OrderConfirmed(order_id, "ann", lines),
        OrderFulfilled(order_id, "ann"),
        OrderCancelled(order_id, "ann", lines),
        OrderExpired(order_id, "ann", lines),
    ):
        record = event(happened.type, ORDER, msgspec.to_builtins(happened))
        moved = {f"inventory/{key}" for ledger, key, _, _ in happened.moves() if ledger is STOCK}
        heard = {each for each in addresses_of(record) if each.startswith("inventory/")}
        assert heard == moved, happened


def test_an_event_of_an_unknown_type_is_in_the_log() -> None:
    assert set(addresses_of(event("galaxy.founded", "1", {}))) == {"log"}


def test_stock_is_heard_by_its_sku() -> None:
    received = event("stock.received", "MUG", {"sku": "MUG", "quantity": 3})
    assert hears(SAM, "inventory", received)
    assert hears(SAM, "inventory/MUG", received)
    assert not hears(SAM, "inventory/CLOCK", received)
    assert not hears(ANN, "me", received)


@pytest.mark.parametrize(
    ("kind", "data", "public"),
    [
        ("product.created", {"status": "draft"}, False),
        ("product.created", {"status": "active"}, True),
        ("product.changed", {"status": "archived"}, False),
        ("product.variant_added", {"product_status": "draft", "active": True}, False),
        ("product.variant_changed", {"product_status": "active", "active": False}, True),
        ("product.unchanged", {}, False),
        ("category.created", {"name": "Mugs"}, True),
    ],
)
def test_only_staff_hear_of_what_is_not_public(kind: str, data: dict[str, Any], public: bool) -> None:
    record = event(kind, ORDER, data, actor="admin")
    for scope in ("catalogue:read", "catalogue:write", "events:read"):
        assert hears(caller("key:1", "staff", frozenset({scope})), "catalogue", record)
    scanner = caller("key:2", "staff", frozenset({"inventory:read", "orders:read", "exports:read"}))
    customer = caller("eve", "customer", frozenset({"catalogue:read"}))  # which no customer can have
    for actor in (ANN, scanner, customer):
        assert hears(actor, "catalogue", record) is public


@pytest.mark.parametrize(
    ("kind", "subject", "data"),
    [
        ("account.changed", "ann", {"account_id": "ann"}),
        ("session.opened", ORDER, {"account_id": "ann"}),
        ("command.rejected", ORDER, {"code": "insufficient_stock"}),
    ],
)
def test_an_event_about_a_person_is_heard_by_that_person(kind: str, subject: str, data: dict[str, Any]) -> None:
    record = event(kind, subject, data)
    assert hears(ANN, "me", record)
    assert not hears(BOB, "me", record)
    assert not hears(SAM, "me", record)
    assert hears(SAM, "log", record)


def test_an_event_about_staff_alone_is_heard_by_nobody_else() -> None:
    for kind in ("webhook.created", "job.requested", "api_key.created"):
        record = event(kind, ORDER, {}, actor="admin")
        assert set(addresses_of(record)) == {"log"}
