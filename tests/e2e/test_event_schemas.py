"""The documents' schemas of events, checked against what is really written and delivered: every member, and no more."""

import uuid
from typing import Any, Final

import jsonschema_rs

from runtime.standard_webhooks import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from tests.e2e.api import API, Client
from tests.e2e.catalogue import Catalogue, unique, variant
from tests.e2e.feed import last_seq, nothing_more
from tests.e2e.people import newcomer, sign_in, sign_out
from tests.e2e.shop import Shop
from tests.receiver import Receiver

# Other types need a day, a crash or a mistake; `tests/unit/test_openapi_document.py` has them all.
TYPES_AT_LEAST: Final = 25
_PAGE: Final = 50


async def test_everything_written_and_delivered_is_as_documented(shop: Shop) -> None:
    document = nothing_more((await shop.anybody.request("GET", "/api/openapi.json")).ok())
    components = {"components": document["components"]}
    log = jsonschema_rs.validator_for({"$ref": "#/components/schemas/EventView", **components}, validate_formats=True)
    before = await last_seq(shop.database)
    async with Receiver() as receiver:
        body = {"url": receiver.url, "event_types": ["*"]}
        webhook = (await shop.staff.post("/webhooks", body)).ok(201)
        seen = await _much_happens(shop, webhook["id"])
        written = await _log(shop.staff, before)
        for event in written:
            log.validate(event)
        assert len({event["type"] for event in written}) >= TYPES_AT_LEAST
        assert seen <= {event["type"] for event in written}

        due = [event for event in written if event["seq"] >= _registered(written, webhook["id"])]
        for received, event in zip(await receiver.has(len(due)), due, strict=False):
            delivery = document["webhooks"][event["type"]]["post"]
            (content,) = delivery["requestBody"]["content"].items()
            assert received.headers["Content-Type"].startswith(content[0])
            told = received.verified(webhook["secret"])
            jsonschema_rs.validator_for({**content[1]["schema"], **components}).validate(told)
            assert told == event
            for parameter in delivery["parameters"]:
                value = received.headers[parameter["name"]]
                assert jsonschema_rs.validator_for(parameter["schema"]).is_valid(value), (parameter["name"], value)
            assert {ID_HEADER, TIMESTAMP_HEADER, SIGNATURE_HEADER} <= {one["name"] for one in delivery["parameters"]}
        await shop.staff.request("DELETE", f"{API}/webhooks/{webhook['id']}")


async def _much_happens(shop: Shop, webhook_id: str) -> set[str]:
    """Causes events of most types; returns some types that must be among them."""
    catalogue = Catalogue(shop)
    sku = unique("SKU")
    product = await catalogue.create(variants=[variant(sku)])
    category = await catalogue.category()
    (await catalogue.patch(f"/categories/{category['id']}", {"position": 3})).ok()
    (await catalogue.patch(f"/products/{product['id']}", {"category_id": category["id"]})).ok()
    (await catalogue.patch(f"/products/{product['id']}", {})).ok()
    (await catalogue.patch(f"/products/{product['id']}/variants/{sku}", {"price_minor": 7})).ok()
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 9})).ok()
    (await shop.staff.post(f"/inventory/{sku}/adjustments", {"change": -1, "reason": "broken"})).ok()
    customer = shop.customer()
    sent, cancelled = await customer.placed({sku: 1}), await customer.placed({sku: 2})
    for move in ("confirm", "fulfil"):
        (await shop.staff.post(f"/orders/{sent['id']}/{move}")).ok()
    (await customer.cancel(cancelled["id"])).ok()
    (await customer.cancel(sent["id"])).problem(409, "order_state_conflict")
    (await customer.place({sku: 1_000})).problem(409, "insufficient_stock")
    person = await newcomer(shop)
    await sign_out((await sign_in(shop, person)).client)
    admin = catalogue.admin
    for move in ("deactivate", "reactivate"):
        (await admin.post(f"/users/{person.account_id}/{move}")).ok()
    key = (await admin.post("/keys", {"name": "scanner", "role": "staff", "scopes": ["orders:read"]})).ok(201)
    (await admin.post(f"/keys/{key['id']}/revoke")).ok()
    report = {"kind": "sales", "by": "day", "from": "2026-01-01", "to": "2026-01-02"}
    (await shop.staff.post("/reports", report)).ok(201)
    (await shop.staff.post(f"/webhooks/{webhook_id}/secret")).ok()
    key_of_both = str(uuid.uuid4())
    for _ in range(2):
        (await customer.place({sku: 1}, key=key_of_both)).ok(201)
    (await catalogue.patch(f"/webhooks/{webhook_id}", {"description": "All of it"}, client=shop.staff)).ok()
    return {"order.fulfilled", "order.cancelled", "command.rejected", "account.created", "session.closed"}


async def _log(staff: Client, after: int) -> list[dict[str, Any]]:
    """The log after `after`, to its end."""
    written: list[dict[str, Any]] = []
    while True:
        page = (await staff.get("/events", after=after, limit=_PAGE)).ok()
        written += page["items"]
        if not page["items"]:
            return written
        after = page["last_seq"]


def _registered(written: list[dict[str, Any]], webhook_id: str) -> int:
    (created,) = (one["seq"] for one in written if (one["type"], one["subject"]) == ("webhook.created", webhook_id))
    assert isinstance(created, int)
    return created
