"""Webhooks over the API: what staff register, see and change, and an event's way to an outside receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import uuid4

import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from ops.ports import free_port
from tests import pace
from tests.e2e.api import API, Answer, Client
from tests.e2e.shop import Shop
from tests.offline.sitecustomize import NOT_LOOKED_UP
from tests.receiver import Receiver, with_status
from tests.system import eventually_seen

WITHIN_SECONDS: Final = 20.0
URL: Final = "https://receiver.example/hook"


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiving:
        yield receiving


@asynccontextmanager
async def registered(shop: Shop, **body: Any) -> AsyncIterator[dict[str, Any]]:
    """The test's own webhook, deleted afterwards."""
    webhook = (await register(shop, **body)).ok(201)
    try:
        yield webhook
    finally:
        await shop.staff.request("DELETE", f"{API}/webhooks/{webhook['id']}")


async def register(shop: Shop, **body: Any) -> Answer:
    return await shop.staff.post("/webhooks", {"url": URL, "event_types": ["stock.*"], **body})


async def patch(client: Client, webhook_id: str, body: Any) -> Answer:
    headers = {"Content-Type": "application/json"}
    return await client.request(
        "PATCH", f"{API}/webhooks/{webhook_id}", data=json.dumps(body).encode(), headers=headers
    )


async def delete(client: Client, webhook_id: str) -> Answer:
    return await client.request("DELETE", f"{API}/webhooks/{webhook_id}")


async def test_a_signed_event_arrives(shop: Shop, receiver: Receiver) -> None:
    sku = await shop.product()
    async with registered(shop, url=receiver.url) as webhook:
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 3})).ok()
        (received,) = await receiver.has(1)
        event = received.verified(webhook["secret"])
        assert event["data"] == {"sku": sku, "quantity": 3, "reference": None}
        assert event == (await shop.staff.get("/events", after=event["seq"] - 1, limit=1)).ok()["items"][0]

        async def logged() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await shop.staff.get(f"/webhooks/{webhook['id']}/deliveries")).ok()["items"]
            return items

        (delivery,) = await eventually_seen("the delivery in its log", logged, within_seconds=WITHIN_SECONDS)
        assert (delivery["seq"], delivery["attempt"], delivery["delivered"]) == (event["seq"], 1, True)
        assert (delivery["status"], delivery["error"]) == (204, None)


async def test_a_webhook_is_shown_without_its_secret(shop: Shop) -> None:
    async with registered(shop, description="The warehouse") as webhook:
        secret = webhook.pop("secret")
        assert secret.startswith("whsec_")
        Webhook(secret)
        found = await shop.staff.get(f"/webhooks/{webhook['id']}")
        assert {**found.ok(), "delivery": None} == {**webhook, "delivery": None}
        assert webhook["event_types"] == ["stock.*"]
        assert (webhook["active"], webhook["status"], webhook["description"]) == (True, "active", "The warehouse")
        listed = await shop.staff.get("/webhooks")
        assert webhook["id"] in [item["id"] for item in listed.ok()["items"]]
        assert secret.encode() not in found.body + listed.body


async def test_a_failing_endpoint_shows_its_state(shop: Shop, receiver: Receiver) -> None:
    receiver.answer = with_status(500)
    sku = await shop.product()
    async with registered(shop, url=receiver.url) as webhook:
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 3})).ok()

        async def failing() -> dict[str, Any]:
            found: dict[str, Any] = (await shop.staff.get(f"/webhooks/{webhook['id']}")).ok()["delivery"]
            return found if found["failures"] else {}

        state = await eventually_seen("a failure", failing, within_seconds=WITHIN_SECONDS)
        assert state["lag"] >= 1
        assert "answered 500" in state["last_error"]
        assert state["next_attempt_at"] > state["failing_since"]


async def test_no_test_looks_up_an_outside_name(shop: Shop) -> None:
    """Many tests use made-up names, and webhooks are retried again and again."""
    sku = await shop.product()
    async with registered(shop, url=URL) as webhook:
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 3})).ok()

        async def failed() -> str:
            return (await shop.staff.get(f"/webhooks/{webhook['id']}")).ok()["delivery"]["last_error"] or ""

        assert NOT_LOOKED_UP in await eventually_seen("a failure", failed, within_seconds=WITHIN_SECONDS)


async def test_changing_and_pausing(shop: Shop) -> None:
    async with registered(shop) as webhook:
        changed = (await patch(shop.staff, webhook["id"], {"event_types": ["*"], "active": False})).ok()
        assert (changed["event_types"], changed["status"], changed["url"]) == (["*"], "paused", URL)
        assert (await patch(shop.staff, webhook["id"], {"active": True})).ok()["status"] == "active"


async def test_rotating_shows_another_secret_once(shop: Shop) -> None:
    async with registered(shop) as webhook:
        path = f"/webhooks/{webhook['id']}/secret"
        rotated = (await shop.staff.post(path, key="rotate")).ok()
        assert rotated["secret"] not in (None, webhook["secret"])
        assert rotated["previous_secret_until"] is not None
        again = await shop.staff.post(path, key="rotate")
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.ok()["secret"] is None


async def test_a_repeated_registration_is_the_same_webhook_without_its_secret(shop: Shop) -> None:
    body = {"url": URL, "event_types": ["stock.*"]}
    first = (await shop.staff.post("/webhooks", body, key="register")).ok(201)
    again = (await shop.staff.post("/webhooks", body, key="register")).ok(201)
    assert (again["id"], again["secret"]) == (first["id"], None)
    assert (await delete(shop.staff, first["id"])).status == 204


async def test_redelivery(shop: Shop, receiver: Receiver) -> None:
    sku = await shop.product(5)
    async with registered(shop, url=receiver.url) as webhook:
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 3})).ok()
        (first,) = await receiver.has(1)
        seq = first.verified(webhook["secret"])["seq"]
        path = f"/webhooks/{webhook['id']}/redeliver"
        assert (await shop.staff.post(path, {"from_seq": seq})).ok()["status"] == "active"
        again = (await receiver.has(2))[1]
        assert again.headers["webhook-id"] == first.headers["webhook-id"]
        assert again.body == first.body


async def test_without_waiting_it_is_accepted(shop: Shop) -> None:
    answer = await shop.staff.post("/webhooks", {"url": URL, "event_types": ["*"]}, wait=0)
    accepted = answer.ok(202)
    settled = await shop.staff.settled(accepted["command_id"])
    assert settled["status"] == "applied"
    assert settled["request"]["secret"] == "(hidden)"
    assert settled["outcome"]["secret"] is None
    assert (await delete(shop.staff, accepted["id"])).status == 204


async def test_a_deleted_webhook_is_not_found(shop: Shop) -> None:
    async with registered(shop) as webhook:
        webhook_id = webhook["id"]
        assert (await delete(shop.staff, webhook_id)).status == 204
        for gone in (webhook_id, str(uuid4())):
            (await shop.staff.get(f"/webhooks/{gone}")).problem(404, "webhook_not_found")
            (await shop.staff.get(f"/webhooks/{gone}/deliveries")).problem(404, "webhook_not_found")
            (await patch(shop.staff, gone, {"active": True})).problem(404, "webhook_not_found")
            (await shop.staff.post(f"/webhooks/{gone}/secret")).problem(404, "webhook_not_found")
            (await shop.staff.post(f"/webhooks/{gone}/redeliver", {"from_seq": 1})).problem(404, "webhook_not_found")
            (await delete(shop.staff, gone)).problem(404, "webhook_not_found")
        assert webhook_id not in [item["id"] for item in (await shop.staff.get("/webhooks")).ok()["items"]]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "ftp://receiver.example/"}, "/url"),
        ({"url": "https://user:password@receiver.example/"}, "/url"),
        ({"url": "https://receiver.example/\r\nX-Injected: 1"}, "/url"),
        ({"url": ""}, "/url"),
        ({"url": None}, "/url"),
        ({"event_types": []}, "/event_types"),
        ({"event_types": ["nothing.*"]}, "/event_types/0"),
        ({"event_types": "*"}, "/event_types"),
        ({"active": "yes"}, "/active"),
        ({"secret": "whsec_mine"}, "/secret"),
        ({"status": "disabled"}, "/status"),
    ],
)
async def test_invalid_webhooks_are_refused(shop: Shop, body: dict[str, Any], pointer: str) -> None:
    assert (await register(shop, **body)).pointers() == {pointer}


async def test_webhooks_are_for_staff(shop: Shop) -> None:
    async with registered(shop) as webhook:
        customer = shop.customer()
        for client, status, code in ((customer, 403, "forbidden"), (shop.anybody, 401, "unauthenticated")):
            (await client.get("/webhooks")).problem(status, code)
            (await client.get(f"/webhooks/{webhook['id']}")).problem(status, code)
            (await client.get(f"/webhooks/{webhook['id']}/deliveries")).problem(status, code)
            (await client.post("/webhooks", {"url": URL, "event_types": ["*"]})).problem(status, code)
            (await client.post(f"/webhooks/{webhook['id']}/secret")).problem(status, code)
            (await patch(client, webhook["id"], {"active": False})).problem(status, code)
            (await delete(client, webhook["id"])).problem(status, code)


async def test_the_receiver_of_the_cli_prints_what_arrives(shop: Shop) -> None:
    sku = await shop.product()
    port = free_port()
    async with registered(shop, url=f"http://127.0.0.1:{port}/") as webhook:
        process = await asyncio.create_subprocess_exec(
            "tidegate",
            "receive",
            "--port",
            str(port),
            env={**shop.system.environment, "TIDEGATE_WEBHOOK_SECRET": webhook["secret"]},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with pace.timeout(WITHIN_SECONDS):
                assert b"Receiving at" in await process.stdout.readline()
                (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 3})).ok()
                assert f"stock.received {sku}".encode() in await process.stdout.readline()
        finally:
            process.terminate()
            await process.wait()


async def test_a_key_gets_nothing_delivered_that_it_may_not_read(shop: Shop) -> None:
    """Neither by its own endpoint, nor by redirecting another's to itself, nor from the start of the log."""
    admin = shop.client("admin", "webhooks-admin")
    key = (await admin.post("/keys", {"name": "Sync", "role": "staff", "scopes": ["webhooks:write"]})).ok(201)
    sync = shop.with_token(key["key"])
    for event_types in (["*"], ["order.*"], ["stock.received"], ["product.created"], ["account.created"]):
        (await sync.post("/webhooks", {"url": URL, "event_types": event_types})).problem(403, "forbidden")
    own = (await sync.post("/webhooks", {"url": URL, "event_types": ["category.*"]})).ok(201)
    assert own["owner"] == f"key:{key['id']}"
    (await patch(sync, own["id"], {"event_types": ["*"]})).problem(403, "forbidden")
    assert (await delete(sync, own["id"])).status == 204
    async with registered(shop, event_types=["*"]) as theirs:
        (await patch(sync, theirs["id"], {"url": "https://elsewhere.example/"})).problem(403, "forbidden")
        (await sync.post(f"/webhooks/{theirs['id']}/redeliver", {"from_seq": 1})).problem(403, "forbidden")
        assert (await shop.staff.get(f"/webhooks/{theirs['id']}")).ok()["url"] == URL
