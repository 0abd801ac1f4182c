"""A webhook's secrets sign its deliveries and are shown nowhere; its owner's rights decide what it may deliver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from domain.accounts import ChangeAccount, CreateAccount, DeactivateAccount
from domain.api_keys import CreateApiKey, RevokeApiKey, key_principal
from domain.model import Actor, Personal, Secret
from domain.webhooks import ChangeWebhook, RotateWebhookSecret
from runtime.envelope import read_request
from runtime.standard_webhooks import new_secret
from tests.integration.couriers import ALL, Couriers, couriers
from tests.integration.shopfloor import Shopfloor
from tests.receiver import Receiver, with_status


async def test_a_rotated_secret_signs_alongside_the_former_one(courier: Couriers, receiver: Receiver) -> None:
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


async def test_secrets_appear_nowhere(courier: Couriers, receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
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


async def test_production_signs_nothing_with_a_development_secret(floor: Shopfloor, receiver: Receiver) -> None:
    private = {"mode": "production", "webhook_private_addresses": True}
    async with couriers(floor, **private) as courier:
        ours = await courier.register(receiver.url)
        endpoint = await courier.register(receiver.url, development=True)
        (seq,) = await courier.happen()
        await receiver.has(1)
        assert [event["seq"] for event in receiver.events(ours.secret)] == [seq]
        assert await courier.deliveries(endpoint) == []
        # A secret made in production signs, and the one before it does not, not even for a while.
        secret = new_secret()
        await courier.done(RotateWebhookSecret(endpoint.id, Secret(secret), datetime.now(UTC) + timedelta(hours=1)))
        delivered = (await receiver.has(2))[-1]
        assert delivered.verified(secret)["seq"] == seq
        with pytest.raises(WebhookVerificationError):
            delivered.verified(endpoint.secret)
        row = await courier.row(endpoint)
        assert (row["development"], row["previous_secret"], row["previous_secret_until"]) == (False, None, None)


async def test_an_endpoint_whose_owner_may_no_longer_read_its_events_is_disabled_and_delivers_nothing(
    courier: Couriers, receiver: Receiver
) -> None:
    """Owners that are deactivated or demoted accounts, or revoked keys; an actor who may read the events can reactivate
    it."""
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
    """It was registered before endpoints had owners."""
    endpoint = await courier.register(receiver.url)
    update = "UPDATE webhooks SET owner = $2, scopes = $3 WHERE id = $1"
    before = await courier.row(endpoint)
    await courier.floor.pool.execute(update, endpoint.id, None, None)
    await courier.happen()
    await courier.becomes(endpoint, "disabled")
    assert receiver.received == []
    await courier.floor.pool.execute(update, endpoint.id, before["owner"], before["scopes"])
