"""Commands: what the audit records of each, who may see it, and what becomes of invalid entries."""

import asyncio
import base64
import uuid
from datetime import datetime
from typing import Any

import msgspec
import pytest

from domain.ids import new_id
from runtime import envelope as envelopes
from runtime.envelope import Envelope
from tests.e2e.api import WAIT_SECONDS, Client
from tests.e2e.faults import workers_stopped
from tests.e2e.shop import STAFF, Shop
from tests.system import eventually_seen


@pytest.fixture
def customer(shop: Shop) -> Client:
    return shop.customer()


async def test_an_applied_command_says_who_what_and_when(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=5)
    accepted = (await customer.place({sku: 2}, wait=None)).ok(202)
    command = await customer.settled(accepted["command_id"])

    assert command["id"] == accepted["command_id"]
    assert command["type"] == "PlaceOrder"
    assert command["status"] == "applied"
    assert command["principal"] == customer.principal
    assert command["subject"] == accepted["id"]
    assert datetime.fromisoformat(command["accepted_at"]) <= datetime.fromisoformat(command["applied_at"])
    assert command["request"] == {
        "type": "PlaceOrder",
        "order_id": accepted["id"],
        "customer_id": customer.principal,
        "lines": [{"sku": sku, "quantity": 2}],
        "email": None,
        "identities": [],
    }
    assert command["outcome"]["lines"] == [{"sku": sku, "quantity": 2, "unit_price_minor": 250}]
    event = (await shop.staff.get("/events", after=command["seq"] - 1, limit=1)).ok()["items"][0]
    assert (event["commandid"], event["data"]) == (command["id"], command["outcome"])


async def test_a_rejected_command_says_why(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=1)
    accepted = (await customer.place({sku: 2}, wait=None)).ok(202)
    command = await customer.settled(accepted["command_id"])
    assert command["status"] == "rejected"
    assert command["outcome"]["code"] == "insufficient_stock"
    assert command["outcome"]["particulars"] == {"lines": [{"sku": sku, "requested": 2, "available": 1}]}


async def test_an_accepted_command_is_found_in_its_mailbox(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=5)
    async with workers_stopped(shop.system):
        accepted = (await customer.place({sku: 2}, wait=None)).ok(202)
        command = (await customer.get(f"/commands/{accepted['command_id']}")).ok()
        (await shop.customer().get(f"/commands/{accepted['command_id']}")).problem(404, "not_found")
        assert (await shop.staff.get(f"/commands/{accepted['command_id']}")).ok() == command
    assert command["status"] == "accepted"
    assert command["principal"] == customer.principal
    assert [command[name] for name in ("applied_at", "seq", "subject", "outcome")] == [None] * 4

    applied = await customer.settled(accepted["command_id"])
    for name in ("id", "type", "principal", "accepted_at", "request"):
        assert applied[name] == command[name]


async def test_another_principal_s_command_is_not_found(shop: Shop, customer: Client) -> None:
    accepted = (await customer.place({await shop.product(on_hand=1): 1}, wait=None)).ok(202)
    command = await customer.settled(accepted["command_id"])
    (await shop.customer().get(f"/commands/{accepted['command_id']}")).problem(404, "not_found")
    assert (await shop.staff.get(f"/commands/{accepted['command_id']}")).ok() == command


@pytest.mark.parametrize("command_id", [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.uuid4()])
async def test_an_unknown_command_is_not_found(shop: Shop, command_id: uuid.UUID) -> None:
    (await shop.staff.get(f"/commands/{command_id}")).problem(404, "not_found")


@pytest.mark.parametrize("command_id", ["1", "abc", "%00", "🌊"])
async def test_an_id_must_be_a_uuid(shop: Shop, command_id: str) -> None:
    assert (await shop.staff.get(f"/commands/{command_id}")).pointers() == {"/path/command_id"}


async def test_the_audit_has_every_command_of_a_busy_moment(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=20)
    answers = await asyncio.gather(*(customer.place({sku: 1}, wait=None) for _ in range(40)))
    commands = [await customer.settled(answer.ok(202)["command_id"]) for answer in answers]
    assert sorted(command["status"] for command in commands) == ["applied"] * 20 + ["rejected"] * 20
    assert len({command["seq"] for command in commands}) == 40


def _entry(**changes: Any) -> dict[bytes, bytes]:
    """A mailbox entry with a readable envelope around an unreadable command."""
    envelope = Envelope(new_id(0, 0, uuid.uuid4().int), "somebody", False, 0, msgspec.Raw(b"\xc0"))
    return {b"v": b"1", b"e": envelopes.encode(msgspec.structs.replace(envelope, **changes))}


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        pytest.param({b"v": b"1", b"e": b"\xde\xad\xbe\xef"}, "unreadable_envelope", id="garbage"),
        pytest.param({b"v": b"1"}, "unreadable_envelope", id="no_envelope"),
        pytest.param({b"hello": b"world"}, "unknown_schema_version", id="something_else"),
        pytest.param({**_entry(), b"v": b"99"}, "unknown_schema_version", id="unknown_schema_version"),
        pytest.param(_entry(), "unreadable_command", id="no_command"),
        pytest.param(
            _entry(command=msgspec.Raw(msgspec.msgpack.encode(["Abracadabra", 1]))), "unreadable_command", id="unknown"
        ),
    ],
)
async def test_an_invalid_entry_becomes_a_dead_letter(shop: Shop, entry: dict[bytes, bytes], code: str) -> None:
    """And what follows it in the same mailbox is applied."""
    sku = await shop.product(on_hand=1)
    mailbox = shop.mailbox_of(sku)
    async with workers_stopped(shop.system):
        entry_id = await shop.put_entry(mailbox, entry)
        receipt = (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 2}, wait=None)).ok(202)
    assert (await shop.staff.settled(receipt["command_id"]))["status"] == "applied"
    assert (await shop.staff.inventory(sku))[0] == 3

    letter = (await shop.staff.get("/dead-letters", limit=1)).ok()["items"][0]
    assert (letter["mailbox"], letter["entry_id"], letter["code"]) == (mailbox, entry_id, code)
    assert letter["detail"]
    assert msgspec.msgpack.decode(base64.b64decode(letter["entry"])) == entry

    failed = (await shop.staff.get(f"/commands/{letter['command_id']}")).ok()
    assert (failed["status"], failed["outcome"]["code"]) == ("failed", code)
    assert failed["principal"] != STAFF


async def test_dead_letters_are_listed_newest_first_page_by_page(shop: Shop) -> None:
    put = [await shop.put_entry(mailbox, {b"v": b"0"}) for mailbox in range(5)]
    found = "SELECT count(*) = 5 FROM dead_letters WHERE entry_id = ANY($1) AND mailbox < 5"
    await eventually_seen("the sweep's work", lambda: shop.database.fetchval(found, put), within_seconds=WAIT_SECONDS)

    pages = await shop.staff.pages("/dead-letters", 2)
    letters = [letter for page in pages for letter in page]
    assert len(letters) == await shop.database.fetchval("SELECT count(*) FROM dead_letters")
    assert len({(letter["mailbox"], letter["entry_id"]) for letter in letters}) == len(letters)
    failed_at = [letter["failed_at"] for letter in letters]
    assert failed_at == sorted(failed_at, reverse=True)
