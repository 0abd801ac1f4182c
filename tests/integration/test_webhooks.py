"""Webhooks: every event of the chosen types, in order and signed, and again from any seq."""

from __future__ import annotations

import json

from domain.webhooks import ChangeWebhook, DeleteWebhook, RedeliverEvents
from gateway.views.reactions import Lag, lags
from runtime.branches import read_branches
from runtime.engine import create_engine
from tests.integration.couriers import ALL, SKU, WITHIN_SECONDS, Couriers, couriers
from tests.integration.shopfloor import Shopfloor
from tests.receiver import Receiver, with_status
from tests.system import eventually_seen


async def test_events_arrive_in_order_and_signed(courier: Couriers, receiver: Receiver) -> None:
    endpoint = await courier.register(receiver.url)
    seqs = await courier.happen(5)
    await receiver.has(5)
    events = receiver.events(endpoint.secret)
    assert [event["seq"] for event in events] == seqs
    assert events[0] == {
        **events[0],
        "specversion": "1.0",
        "id": str(seqs[0]),
        "source": (await read_branches(courier.floor.pool)).source(seqs[0]),
        "type": "stock.received",
        "subject": SKU,
        "datacontenttype": "application/json",
        "data": {"sku": SKU, "quantity": 1, "reference": None},
    }
    headers = receiver.received[0].headers
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    assert headers["webhook-id"] == f"msg_{endpoint.id.hex}_{seqs[0]}"
    assert headers["traceparent"].split("-")[1] == events[0]["commandid"].replace("-", "")
    assert [row["delivered"] for row in await courier.deliveries(endpoint)] == [True] * 5


async def test_only_events_of_the_chosen_types_arrive(courier: Couriers, receiver: Receiver, other: Receiver) -> None:
    everything = await courier.register(receiver.url, "*")
    await courier.register(other.url, "webhook.created", "order.*")
    (last,) = await courier.happen()
    await receiver.has(3)
    types = [event["type"] for event in receiver.events(everything.secret)]
    assert types == ["webhook.created", "webhook.created", "stock.received"]
    await other.has(1)
    assert [json.loads(received.body)["type"] for received in other.received] == ["webhook.created"]
    assert json.loads(receiver.received[-1].body)["seq"] == last


async def test_an_endpoint_gets_no_events_from_before_its_registration(courier: Couriers, receiver: Receiver) -> None:
    await courier.happen(3)
    endpoint = await courier.register(receiver.url)
    (seq,) = await courier.happen()
    await receiver.has(1)
    assert [event["seq"] for event in receiver.events(endpoint.secret)] == [seq]


async def test_events_are_delivered_again_from_any_seq(courier: Couriers, receiver: Receiver) -> None:
    endpoint = await courier.register(receiver.url)
    seqs = await courier.happen(4)
    await receiver.has(4)
    await courier.done(RedeliverEvents(endpoint.id, seqs[2], ALL))
    await receiver.has(6)
    ids = [received.headers["webhook-id"] for received in receiver.received]
    assert ids[4:] == ids[2:4]
    assert [event["seq"] for event in receiver.events(endpoint.secret)] == [*seqs, *seqs[2:]]
    await courier.done(RedeliverEvents(endpoint.id, 1, ALL))
    await receiver.has(10)
    assert [row["attempt"] for row in await courier.deliveries(endpoint) if row["seq"] == seqs[2]] == [1, 2, 3]


async def test_redelivery_resumes_a_paused_endpoint_and_may_skip_ahead(courier: Couriers, receiver: Receiver) -> None:
    receiver.answer = with_status(500)
    endpoint = await courier.register(receiver.url)
    seqs = await courier.happen(3)
    await courier.has_failed(endpoint)
    await courier.done(ChangeWebhook(endpoint.id, {"active": False}, ALL))
    await courier.becomes(endpoint, "paused")
    receiver.answer = with_status(204)
    failed = len(receiver.received)
    await courier.done(RedeliverEvents(endpoint.id, seqs[2], ALL))
    await receiver.has(failed + 1)
    assert receiver.events(endpoint.secret)[-1]["seq"] == seqs[2]
    assert (await courier.row(endpoint))["status"] == "active"


async def test_a_paused_endpoint_is_left_alone_and_misses_nothing(courier: Couriers, receiver: Receiver) -> None:
    endpoint = await courier.register(receiver.url)
    first = await courier.happen()
    await receiver.has(1)
    await courier.done(ChangeWebhook(endpoint.id, {"active": False}, ALL))
    seqs = await courier.happen(2)
    await courier.done(ChangeWebhook(endpoint.id, {"active": True}, ALL))
    await receiver.has(3)
    assert [event["seq"] for event in receiver.events(endpoint.secret)] == first + seqs


async def test_the_number_of_deliveries_kept_is_limited(floor: Shopfloor, receiver: Receiver) -> None:
    async with couriers(floor, webhook_deliveries_kept=3) as courier:
        endpoint = await courier.register(receiver.url)
        seqs = await courier.happen(6)
        await receiver.has(6)

        async def last_is_logged() -> bool:
            return [row["seq"] for row in await courier.deliveries(endpoint)] == seqs[-3:]

        await eventually_seen("the last three", last_is_logged, within_seconds=WITHIN_SECONDS)


async def test_a_deleted_endpoint_is_forgotten(courier: Couriers, receiver: Receiver) -> None:
    endpoint = await courier.register(receiver.url)
    await courier.happen()
    await receiver.has(1)
    await courier.done(DeleteWebhook(endpoint.id))
    assert (await courier.row(endpoint))["secret"] is None

    async def forgotten() -> bool:
        return not await courier.deliveries(endpoint) and not await courier.state(endpoint)

    await eventually_seen("nothing left", forgotten, within_seconds=WITHIN_SECONDS)
    await courier.happen()
    assert len(receiver.received) == 1


async def test_the_lag_covers_active_endpoints_under_the_counters_name(courier: Couriers, receiver: Receiver) -> None:
    """A paused one has no lag; its id is not a label."""
    await courier.register(receiver.url)
    paused = await courier.register(receiver.url)
    await courier.done(ChangeWebhook(paused.id, {"active": False}, ALL))
    seqs = await courier.happen(3)
    await receiver.has(3)
    engine = create_engine(courier.floor.database_url, pool_size=1)
    try:

        async def caught_up() -> list[Lag]:
            found = [lag for lag in await lags(engine) if lag.kind == "webhook"]
            return found if found and found[0].events == 0 else []

        assert await eventually_seen("no lag", caught_up, within_seconds=WITHIN_SECONDS) == [Lag("webhook", 0, 0.0, 0)]
        assert (await courier.state(paused))["position"] < seqs[0]
        await courier.floor.pool.execute("UPDATE reactions SET active = true")  # whatever the last process recorded
        assert [lag.events for lag in await lags(engine) if lag.kind == "webhook"] == [0]
    finally:
        await engine.dispose()
