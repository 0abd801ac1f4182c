"""The sandbox: each way in which it misbehaves, what its ledger keeps, and whom it believes."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import msgspec
import pytest

from domain.payments.amounts import Amounts
from domain.payments.entries import Entry
from ops.sandbox import api
from ops.sandbox.moods import Control
from ops.sandbox.notices import socket_to_this_machine
from runtime.outside import OutcomeUnknown, Refused
from runtime.payments.provider import Act, WebhookInvalid
from runtime.settings.payments import SANDBOX_SECRET
from runtime.standard_webhooks import new_secret, signed
from tests.payments import Book, SandboxHere, new_uuid, sandbox_here
from tests.receiver import Received, Receiver, with_status
from tests.system import eventually_seen


@pytest.fixture
async def shop() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def sandbox(tmp_path: Path, shop: Receiver) -> AsyncIterator[SandboxHere]:
    async with sandbox_here(tmp_path, shop.url) as running:
        yield running


async def moved(sandbox: SandboxHere) -> Counter[str]:
    """What succeeded in the sandbox's own books, by kind."""
    done: Counter[str] = Counter()
    async for report in sandbox.client.history(datetime.now(UTC) - timedelta(hours=1)):
        for entry in report.entries:
            if entry.type.endswith("_success"):
                done[entry.type] += entry.amount_minor
    return done


# Its answers.


@pytest.mark.parametrize("mood", ["lose_answer", "hang", "lose_request"])
async def test_a_charge_whose_answer_is_lost_is_asked_for_again_and_made_once(sandbox: SandboxHere, mood: str) -> None:
    await sandbox.control(hang_seconds=0.4)
    book = Book(sandbox.impatient if mood == "hang" else sandbox.client)
    with pytest.raises(OutcomeUnknown):
        await book.create(f"card+{mood}")
    assert (await moved(sandbox))["charge_success"] == (0 if mood == "lose_request" else 1_000)
    await book.create(f"card+{mood}")
    assert book.amounts == Amounts(charged=1_000)
    act = Act(str(new_uuid()), 300)
    with pytest.raises(OutcomeUnknown):
        await book.provider.refund(book.attempt, act)
    book.take(await sandbox.client.refund(book.attempt, act))
    assert await moved(sandbox) == {"charge_success": 1_000, "refund_success": 300}


async def test_a_slow_sandbox_that_is_asked_twice_at_once_charges_once(sandbox: SandboxHere) -> None:
    await sandbox.control(slow_seconds=0.05)
    book = Book(sandbox.client)
    first, second = await asyncio.gather(*(sandbox.client.create(book.attempt, method="card+slow") for _ in range(2)))
    assert first == second
    assert await moved(sandbox) == {"charge_success": 1_000}


async def test_a_slow_sandbox_acts_on_a_payment_as_it_is_when_it_acts(
    sandbox: SandboxHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buyer pays on the page while the sandbox is slow to give the payment up, or to try a method."""
    slow, goes_on = asyncio.Semaphore(0), asyncio.Event()

    async def sleep(seconds: float) -> None:
        slow.release()
        await goes_on.wait()

    await sandbox.control(shares={"slow": 1.0})
    books = [Book(sandbox.client), Book(sandbox.client)]
    goes_on.set()
    monkeypatch.setattr(api, "asyncio", SimpleNamespace(sleep=sleep))
    for book in books:
        await book.create()
        await slow.acquire()
    goes_on.clear()
    voided, tried = books
    asked = [
        asyncio.create_task(sandbox.client.void(voided.attempt, Act("give-up", 1))),
        asyncio.create_task(sandbox.client.authorize(tried.attempt, method="card", key="try")),
    ]
    for _ in books:
        await slow.acquire()
    for book in books:
        page = f"{sandbox.url}/pay/{book.provider_reference}"
        async with sandbox.session.post(page, data={"choice": "pay"}, allow_redirects=False) as response:
            assert response.status == 303
    goes_on.set()
    for book, report in zip(books, await asyncio.gather(*asked), strict=True):
        outcomes = [entry.type for entry in report.entries if entry.reference == book.attempt.reference]
        assert outcomes == ["charge_success"]
    assert await moved(sandbox) == {"charge_success": 2_000}


async def test_a_key_stands_for_one_request(sandbox: SandboxHere) -> None:
    book = Book(sandbox.client)
    await book.create("card")
    act = await book.refund(300)
    with pytest.raises(Refused, match="key_reused"):
        await sandbox.client.refund(book.attempt, msgspec.structs.replace(act, amount_minor=301))
    assert (await moved(sandbox))["refund_success"] == 300


async def test_captures_refunds_and_voids_can_fail(sandbox: SandboxHere) -> None:
    book = Book(sandbox.client, capture="manual")
    await book.create("card+fail")
    await book.capture(400)
    await book.void()
    assert [entry.type for entry in book.payment.entries if entry.code == "refused"] == [
        "charge_failure",
        "cancel_failure",
    ]
    assert book.amounts == Amounts(authorized=1_000)


async def test_no_more_is_moved_than_there_is(sandbox: SandboxHere) -> None:
    book = Book(sandbox.client, capture="manual")
    await book.create("card")
    for too_much in (sandbox.client.capture, sandbox.client.refund):
        book.take(await too_much(book.attempt, Act(str(new_uuid()), 1_001)))
        assert book.payment.entries[-1].code == "amount_not_there"
    assert await moved(sandbox) == {"authorization_success": 1_000}


async def test_misbehaviour_falls_on_a_share_of_all_acts_whatever_their_order(sandbox: SandboxHere) -> None:
    await sandbox.control(shares={"decline": 0.5}, seed=3)
    books = [Book(sandbox.client) for _ in range(40)]
    expected = ["decline" in Control(shares={"decline": 0.5}, seed=3).drawn(book.attempt.reference) for book in books]
    await asyncio.gather(*(book.create("card") for book in reversed(books)))
    assert [book.amounts.charged == 0 for book in books] == expected
    assert 5 < sum(expected) < 35


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/v1/payments", b"{", "invalid_body"),
        ("/v1/payments", b'{"reference": "r", "amount_minor": 0, "currency": "GBP"}', "invalid_body"),
        ("/v1/payments", b'{"reference": "r", "amount_minor": 1.5, "currency": "GBP"}', "invalid_body"),
        ("/v1/payments", b'{"reference": "r", "amount_minor": 1, "currency": "GBP", "moods": ["sad"]}', "unknown_mood"),
        ("/v1/payments", b'{"reference": "r", "amount_minor": 1, "currency": "GBP", "method": "a+b"}', "unknown_mood"),
        (
            "/v1/payments",
            b'{"reference": "r", "amount_minor": 1, "currency": "GBP", "return_url": "javascript:alert(1)"}',
            "invalid_return_url",
        ),
        ("/v1/payments/pay_none/refund", b'{"amount_minor": 1}', "payment_not_found"),
    ],
)
async def test_what_is_malformed_is_refused(sandbox: SandboxHere, path: str, body: bytes, code: str) -> None:
    status, said = await sandbox.asks("POST", path, data=body, headers={"Idempotency-Key": "k"})
    assert (400 <= status < 500, said["code"]) == (True, code)


async def test_its_api_takes_the_secret_and_a_key(sandbox: SandboxHere) -> None:
    for path in ("/v1/payments", "/control"):
        status, said = await sandbox.asks("GET", path, headers={"Authorization": f"Bearer {new_secret()}"})
        assert (status, said["code"]) == (401, "unauthorized")
    wanted = {"reference": "r", "amount_minor": 1, "currency": "GBP"}
    status, said = await sandbox.asks("POST", "/v1/payments", json=wanted)
    assert (status, said["code"]) == (400, "key_missing")


# Its ledger.


async def test_its_ledger_and_its_webhooks_outlive_it(tmp_path: Path, shop: Receiver) -> None:
    async with aiohttp.ClientSession() as session:
        sandbox = SandboxHere(tmp_path / "sandbox.sqlite3", session, shop.url)
        shop.answer = with_status(503)
        async with sandbox.running():
            book = Book(sandbox.client)
            await book.create("card")
            told = len(await shop.has(1))
        shop.answer = with_status(204)
        async with sandbox.running() as notices:
            assert book.take(await sandbox.client.ask(book.attempt)) == []
            assert await book.create("card") == []
            await shop.has(told + 1)

            async def all_told() -> bool:
                return not notices.waiting

            await eventually_seen("no webhook left", all_told, within_seconds=10)


async def test_a_long_history_comes_in_pages(sandbox: SandboxHere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.sandbox.api._PAGE_ROWS", 3)
    books = [Book(sandbox.client) for _ in range(7)]
    for book in books:
        await book.create("card")
    began = datetime.now(UTC) - timedelta(hours=1)
    assert [report.payment_id async for report in sandbox.client.history(began)] == [book.payment.id for book in books]
    assert [report async for report in sandbox.client.history(datetime.now(UTC))] == []


# Its webhooks.


def read(sandbox: SandboxHere, received: Received) -> Entry:
    (report,) = sandbox.client.parse_webhook(received.body, received.headers)
    (entry,) = report.entries
    return entry


async def test_what_happened_is_told_and_adds_nothing_to_what_was_answered(
    sandbox: SandboxHere, shop: Receiver
) -> None:
    book = Book(sandbox.client, capture="manual")
    await book.create("card")
    await book.capture(600)
    await book.refund(100)
    await book.void()
    for received in await shop.has(4):
        (report,) = sandbox.client.parse_webhook(received.body, received.headers)
        assert report.provider_reference == book.provider_reference
        assert book.take(report) == []


async def test_webhooks_alone_are_enough(sandbox: SandboxHere, shop: Receiver) -> None:
    book = Book(sandbox.client)
    with pytest.raises(OutcomeUnknown):
        await book.create("card+lose_answer+webhook_twice")
    for received in await shop.has(2):
        (report,) = sandbox.client.parse_webhook(received.body, received.headers)
        book.take(report)
    assert book.amounts == Amounts(charged=1_000)
    assert shop.received[0].headers["webhook-id"] == shop.received[1].headers["webhook-id"]


async def test_webhooks_may_arrive_in_any_order(sandbox: SandboxHere, shop: Receiver) -> None:
    await sandbox.control(shares={"webhook_shuffled": 1.0}, late_seconds=0.4)
    books = [Book(sandbox.client) for _ in range(12)]
    for book in books:
        await book.create("card")
        await book.refund(10)
    by_id = {book.payment.id: Book(sandbox.client) for book in books}
    received = await shop.has(24)
    kinds = [read(sandbox, each).type for each in received]
    assert kinds != sorted(kinds)
    assert "refund_success" in kinds[:12]
    for each in shop.received:
        (report,) = sandbox.client.parse_webhook(each.body, each.headers)
        assert report.payment_id is not None
        book = by_id[report.payment_id]
        book.take(msgspec.structs.replace(report, payment_id=book.payment.id))
    assert {(book.amounts.charged, book.amounts.refunded) for book in by_id.values()} == {(1_000, 10)}


async def test_forged_webhooks_are_not_believed(sandbox: SandboxHere, shop: Receiver) -> None:
    book = Book(sandbox.client)
    await book.create("card+webhook_forged")
    forged = 0
    for received in await shop.has(2):
        try:
            read(sandbox, received)
        except WebhookInvalid:
            forged += 1
    assert forged == 1


async def test_webhooks_can_be_late_or_not_come_at_all(sandbox: SandboxHere, shop: Receiver) -> None:
    await sandbox.control(late_seconds=0.3)
    lost, late, prompt = (Book(sandbox.client) for _ in range(3))
    await lost.create("card+webhook_lost")
    await late.create("card+webhook_late")
    await prompt.create("card")
    told = [sandbox.client.parse_webhook(each.body, each.headers)[0].payment_id for each in await shop.has(2)]
    assert told == [prompt.payment.id, late.payment.id]


async def test_old_unsigned_and_unreadable_webhooks_are_not_believed(sandbox: SandboxHere, shop: Receiver) -> None:
    book = Book(sandbox.client)
    await book.create("card")
    (received,) = await shop.has(1)
    body, headers = received.body, dict(received.headers)

    def said_at(at: datetime, text: str = body.decode()) -> dict[str, str]:
        return signed("msg_1", text, [SANDBOX_SECRET], at)

    now = datetime.now(UTC)
    assert sandbox.client.parse_webhook(body, said_at(now))[0].payment_id == book.payment.id
    believed: list[tuple[bytes, dict[str, Any]]] = [
        (body, said_at(now - timedelta(hours=1))),
        (body, said_at(now + timedelta(hours=1))),
        (body, {}),
        (body.replace(b"1000", b"9000"), headers),
        (b"{}", said_at(now, "{}")),
        (b"\xff", headers),
    ]
    for text, given in believed:
        with pytest.raises(WebhookInvalid):
            sandbox.client.parse_webhook(text, given)


def test_it_tells_nobody_but_this_machine() -> None:
    for address in ("192.0.2.1", "10.0.0.1"):
        with pytest.raises(OSError, match="not this machine"):
            socket_to_this_machine((socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 80)))
    socket_to_this_machine((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 80))).close()


# What its own people do.


async def test_what_is_begun_at_the_provider_is_told_like_anything_else(sandbox: SandboxHere, shop: Receiver) -> None:
    book = Book(sandbox.client)
    await book.create("card")
    for what, amount_minor in (("refund", 200), ("charge_back", 300)):
        path = f"/v1/payments/{book.provider_reference}/{what}"
        status, _ = await sandbox.asks(
            "POST", path, json={"amount_minor": amount_minor}, headers={"Idempotency-Key": what}
        )
        assert status == 200
    for received in await shop.has(3):
        book.take(sandbox.client.parse_webhook(received.body, received.headers)[0])
    assert book.amounts == Amounts(charged=700, refunded=200)
    assert book.take(await sandbox.client.ask(book.attempt)) == []
