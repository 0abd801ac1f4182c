"""Webhooks: every event of the chosen types, in order, signed; and nobody else waits for an endpoint that is ill."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from domain.accounts import ChangeAccount, CreateAccount, DeactivateAccount
from domain.api_keys import CreateApiKey, RevokeApiKey, key_principal
from domain.model import Actor, Personal, Secret
from domain.webhooks import ChangeWebhook, DeleteWebhook, RedeliverEvents, RotateWebhookSecret
from gateway.views.reactions import Lag, lags
from runtime.branches import read_branches
from runtime.engine import create_engine
from runtime.envelope import read_request
from runtime.standard_webhooks import new_secret
from tests import receiver as receivers
from tests.integration.couriers import ALL, SKU, WITHIN_SECONDS, Couriers, couriers
from tests.integration.shopfloor import Shopfloor
from tests.receiver import Receiver, with_status
from tests.system import eventually_seen

ILL: Final = {
    "hangs": receivers.hangs,
    "answers_500": with_status(500),
    "answers_302": with_status(302, Location="/elsewhere"),
    "fails_with_an_endless_body": receivers.fails_endlessly,
    "closes_the_connection": receivers.closes,
    "talks_nonsense": receivers.talks_nonsense,
}


@pytest.fixture
async def courier(floor: Shopfloor) -> AsyncIterator[Couriers]:
    async with couriers(floor, webhook_timeout_seconds=0.5) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiving:
        yield receiving


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    async with Receiver() as receiving:
        yield receiving


async def test_events_come_in_order_and_signed(courier: Couriers, receiver: Receiver) -> None:
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


async def test_only_events_of_the_chosen_types_come(courier: Couriers, receiver: Receiver, other: Receiver) -> None:
    everything = await courier.register(receiver.url, "*")
    await courier.register(other.url, "webhook.created", "order.*")
    (last,) = await courier.happen()
    await receiver.has(3)
    types = [event["type"] for event in receiver.events(everything.secret)]
    assert types == ["webhook.created", "webhook.created", "stock.received"]
    await other.has(1)
    assert [json.loads(received.body)["type"] for received in other.received] == ["webhook.created"]
    assert json.loads(receiver.received[-1].body)["seq"] == last


async def test_what_happened_before_an_endpoint_was_registered_is_not_for_it(
    courier: Couriers, receiver: Receiver
) -> None:
    await courier.happen(3)
    endpoint = await courier.register(receiver.url)
    (seq,) = await courier.happen()
    await receiver.has(1)
    assert [event["seq"] for event in receiver.events(endpoint.secret)] == [seq]


@pytest.mark.parametrize("ill", ILL)
async def test_a_receiver_that_is_ill_holds_up_nobody_and_misses_nothing(
    courier: Couriers, receiver: Receiver, other: Receiver, ill: str
) -> None:
    receiver.answer = ILL[ill]
    bad = await courier.register(receiver.url)
    good = await courier.register(other.url)
    seqs = await courier.happen(5)
    await other.has(5)
    assert [event["seq"] for event in other.events(good.secret)] == seqs
    state = await courier.has_failed(bad, 2)
    assert state["position"] < seqs[0]
    receiver.answer = with_status(200)
    ill_for = len(receiver.received)
    await receiver.has(ill_for + 5)
    assert [event["seq"] for event in receiver.events(bad.secret)[-5:]] == seqs
    assert {received.headers["webhook-id"] for received in receiver.received[:ill_for]} == {
        f"msg_{bad.id.hex}_{seqs[0]}"
    }
    attempts = [row["attempt"] for row in await courier.deliveries(bad) if row["seq"] == seqs[0]]
    assert attempts == list(range(1, len(attempts) + 1))


async def test_a_success_counts_however_long_its_body(courier: Couriers, receiver: Receiver) -> None:
    receiver.answer = receivers.succeeds_endlessly
    endpoint = await courier.register(receiver.url)
    seqs = await courier.happen(3)
    await receiver.has(3)
    assert [event["seq"] for event in receiver.events(endpoint.secret)] == seqs


async def test_a_redirect_to_loopback_is_not_followed(courier: Couriers, receiver: Receiver, other: Receiver) -> None:
    receiver.answer = with_status(307, Location=other.url)
    endpoint = await courier.register(receiver.url)
    await courier.happen()
    state = await courier.has_failed(endpoint)
    assert "answered 307" in state["last_error"]
    assert other.received == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_no_connection_is_made_to_a_private_address(floor: Shopfloor, receiver: Receiver, host: str) -> None:
    async with couriers(floor, webhook_private_addresses=False) as courier:
        endpoint = await courier.register(f"http://{host}:{receiver.port}/")
        await courier.happen()
        state = await courier.has_failed(endpoint)
        assert "public addresses only" in state["last_error"]
    assert receiver.received == []


async def test_an_endpoint_that_is_dead_is_disabled_and_goes_on_where_it_stopped(
    floor: Shopfloor, receiver: Receiver, other: Receiver
) -> None:
    receiver.answer = with_status(500)
    async with couriers(floor, webhook_failing_max_seconds=0.5) as courier:
        dead = await courier.register(receiver.url)
        staff = await courier.register(other.url, "webhook.disabled")
        seqs = await courier.happen(2)
        row = await courier.becomes(dead, "disabled")
        assert "answered 500" in row["disabled_reason"]
        await other.has(1)
        (event,) = other.events(staff.secret)
        assert event["subject"] == str(dead.id)
        assert event["data"]["reason"] == row["disabled_reason"]
        seqs += await courier.happen()
        receiver.answer = with_status(204)
        failed = len(receiver.received)
        await courier.done(ChangeWebhook(dead.id, {"active": True}, ALL))
        await receiver.has(failed + 3)
        assert [event["seq"] for event in receiver.events(dead.secret)[failed:]] == seqs


async def test_an_endpoint_that_is_gone_is_disabled_at_once(courier: Couriers, receiver: Receiver) -> None:
    receiver.answer = with_status(410)
    endpoint = await courier.register(receiver.url)
    await courier.happen()
    row = await courier.becomes(endpoint, "disabled")
    assert row["disabled_reason"] == "It answered 410 Gone."
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_an_endpoint_is_left_alone_as_long_as_it_asks_for(
    floor: Shopfloor, receiver: Receiver, status: int
) -> None:
    async with couriers(floor, webhook_retry_max_seconds=100.0) as courier:
        for asks, least, most in (("50", 40, 50), ("100000", 90, 100), ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 2)):
            receiver.answer = with_status(status, Retry_After=asks)
            endpoint = await courier.register(receiver.url)
            await courier.happen()
            due_at: datetime = (await courier.has_failed(endpoint))["due_at"]
            assert least <= (due_at - datetime.now(UTC)).total_seconds() <= most
            await courier.done(DeleteWebhook(endpoint.id))


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


async def test_redelivery_wakes_one_that_was_paused_and_may_skip_ahead(courier: Couriers, receiver: Receiver) -> None:
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


async def test_a_changed_url_is_tried_without_waiting(floor: Shopfloor, receiver: Receiver, other: Receiver) -> None:
    receiver.answer = with_status(503, Retry_After="3000")
    async with couriers(floor, webhook_retry_max_seconds=3_600.0) as courier:
        endpoint = await courier.register(receiver.url)
        (seq,) = await courier.happen()
        await courier.has_failed(endpoint)
        await courier.done(ChangeWebhook(endpoint.id, {"url": other.url}, ALL))
        await other.has(1)
        assert other.events(endpoint.secret)[0]["seq"] == seq


async def test_a_rotated_secret_signs_beside_the_former_one_for_a_while(courier: Couriers, receiver: Receiver) -> None:
    endpoint = await courier.register(receiver.url)
    second, third = new_secret(), new_secret()
    until = datetime.now(UTC) + timedelta(hours=1)
    await courier.done(RotateWebhookSecret(endpoint.id, Secret(second), until))
    (seq,) = await courier.happen()
    (received,) = await receiver.has(1)
    assert received.verified(second)["seq"] == received.verified(endpoint.secret)["seq"] == seq
    await courier.done(RotateWebhookSecret(endpoint.id, Secret(third), datetime.now(UTC)))
    await courier.happen()
    received = (await receiver.has(2))[1]
    received.verified(third)
    for former in (endpoint.secret, second):
        with pytest.raises(WebhookVerificationError):
            received.verified(former)


async def test_secrets_are_seen_nowhere(
    courier: Couriers, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer = with_status(500)
    endpoint = await courier.register(receiver.url, "*")
    second = new_secret()
    await courier.done(RotateWebhookSecret(endpoint.id, Secret(second), datetime.now(UTC) + timedelta(hours=1)))
    await courier.has_failed(endpoint, 2)
    pool = courier.floor.pool
    said = [str(dict(row)) for row in await pool.fetch("SELECT type, data::text FROM events")]
    said += [str(read_request(row["request"])) for row in await pool.fetch("SELECT request FROM commands")]
    said += [str(dict(row)) for row in await pool.fetch("SELECT * FROM webhook_deliveries")]
    said += [str(dict(row)) for row in await pool.fetch("SELECT * FROM reactions")]
    said += [received.body.decode() + str(dict(received.headers)) for received in receiver.received]
    said.append(caplog.text)
    for secret in (endpoint.secret, second):
        assert not [text for text in said if secret in text or secret.removeprefix("whsec_") in text]


async def test_only_so_many_deliveries_are_kept(floor: Shopfloor, receiver: Receiver) -> None:
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


async def test_the_lag_is_of_what_is_delivered_and_goes_by_the_counters_names(
    courier: Couriers, receiver: Receiver
) -> None:
    """One that is paused stands still, and waits for nobody; its id is no label."""
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
        await courier.floor.pool.execute("UPDATE reactions SET active = true")  # whatever the last process thought
        assert [lag.events for lag in await lags(engine) if lag.kind == "webhook"] == [0]
    finally:
        await engine.dispose()


async def test_production_signs_nothing_with_a_secret_of_development(floor: Shopfloor, receiver: Receiver) -> None:
    private = {"mode": "production", "webhook_private_addresses": True}
    async with couriers(floor, **private) as courier:
        ours = await courier.register(receiver.url)
        endpoint = await courier.register(receiver.url, development=True)
        (seq,) = await courier.happen()
        await receiver.has(1)
        assert [event["seq"] for event in receiver.events(ours.secret)] == [seq]
        assert await courier.deliveries(endpoint) == []
        # A secret that is made in production signs, and the one before it does not, not even for a while.
        secret = new_secret()
        await courier.done(RotateWebhookSecret(endpoint.id, Secret(secret), datetime.now(UTC) + timedelta(hours=1)))
        delivered = (await receiver.has(2))[-1]
        assert delivered.verified(secret)["seq"] == seq
        with pytest.raises(WebhookVerificationError):
            delivered.verified(endpoint.secret)
        row = await courier.row(endpoint)
        assert (row["development"], row["previous_secret"], row["previous_secret_until"]) == (False, None, None)


async def test_an_endpoint_whose_owner_may_not_read_it_any_more_delivers_nothing_and_is_disabled(
    courier: Couriers, receiver: Receiver
) -> None:
    """Accounts that are deactivated or demoted, keys that are revoked; somebody who may read it can have it go on."""
    leaves, falls, key = (courier.floor.new_id() for _ in range(3))
    for account_id in (leaves, falls):
        email = f"{account_id.hex}@example.com"
        await courier.done(CreateAccount(account_id, Personal(email), Personal("Somebody"), "staff", Secret("hash")))
    await courier.done(CreateApiKey(key, "Sync", "staff", ("webhooks:write", "inventory:read"), Secret("hash")))
    owners = {
        Actor.in_role(str(leaves), "staff"): (ALL, DeactivateAccount(leaves)),
        Actor.in_role(str(falls), "staff"): (ALL, ChangeAccount(falls, role="customer")),
        Actor.in_role(key_principal(key), "staff"): (("inventory:read",), RevokeApiKey(key)),
    }
    endpoints = [
        await courier.register(receiver.url, actor=owner, scopes=scopes) for owner, (scopes, _) in owners.items()
    ]
    await courier.happen()
    await receiver.has(len(endpoints))
    for _, end in owners.values():
        await courier.done(end)
    (missed,) = await courier.happen()
    for endpoint in endpoints:
        row = await courier.becomes(endpoint, "disabled")
        assert row["disabled_reason"].startswith("Its owner may not read `stock.received`")
        assert missed not in [delivery["seq"] for delivery in await courier.deliveries(endpoint)]
    await courier.done(ChangeWebhook(endpoints[0].id, {"active": True}, ALL))
    delivered = (await receiver.has(len(endpoints) + 1))[-1]
    assert delivered.verified(endpoints[0].secret)["seq"] == missed


async def test_an_endpoint_without_an_owner_delivers_only_what_all_staff_may_read(
    courier: Couriers, receiver: Receiver
) -> None:
    """It was registered before there were owners."""
    endpoint = await courier.register(receiver.url)
    update = "UPDATE webhooks SET owner = $2, scopes = $3 WHERE id = $1"
    before = await courier.row(endpoint)
    await courier.floor.pool.execute(update, endpoint.id, None, None)
    await courier.happen()
    await courier.becomes(endpoint, "disabled")
    assert receiver.received == []
    await courier.floor.pool.execute(update, endpoint.id, before["owner"], before["scopes"])
