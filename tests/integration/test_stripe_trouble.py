"""Stripe when not all goes well: what may not be read, keys that it has forgotten, and steps that fail."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from domain.payments.amounts import Amounts
from domain.payments.payment import status_of
from runtime.outside import OutcomeUnknown, Refused
from runtime.payments.provider import Report
from runtime.payments.stripe import Stripe
from runtime.payments.stripe_reports import PAYMENT_KEY, reports_of_event
from tests.payments import Book
from tests.stripeserver import ASKS_FOR_A_STEP, GOOD, SECRET_KEY, StripeHere, stripe_here


class Stage(NamedTuple):
    """A Stripe here, and its client."""

    here: StripeHere
    client: Stripe


@pytest_asyncio.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with aiohttp.ClientSession() as session, stripe_here(session) as here:
        yield Stage(here, Stripe(session, SECRET_KEY, "whsec_unused", timeout_seconds=20, url=here.url))


@pytest.mark.parametrize("unreadable", ["/v1/refunds", "/v1/payment_intents/{}"])
async def test_an_unreadable_object_leaves_the_outcome_unknown(stage: Stage, unreadable: str) -> None:
    book, method = Book(stage.client), await stage.here.method(GOOD)
    if "{}" in unreadable:
        await book.create(method)
    await stage.here.refuses("GET", unreadable.format(book.provider_reference))
    with pytest.raises(OutcomeUnknown, match="cannot be read"):
        await book.create(method)
    await book.create(method)
    assert book.amounts == Amounts(charged=1_000)


@pytest.mark.parametrize("act", ["capture", "cancel", "refund"])
async def test_an_act_that_stripe_answers_with_402_is_refused(stage: Stage, act: str) -> None:
    """A payment is not declined by this, and asking again would be pointless."""
    book = Book(stage.client, capture="automatic" if act == "refund" else "manual")
    await book.create(await stage.here.method(GOOD))
    before = book.amounts
    path = "/v1/refunds" if act == "refund" else f"/v1/payment_intents/{book.provider_reference}/{act}"
    await stage.here.refuses("POST", path, 402)
    with pytest.raises(Refused, match="card_declined"):
        await (book.void() if act == "cancel" else book.capture(400) if act == "capture" else book.refund(400))
    assert book.take(await stage.client.ask(book.attempt)) == []
    assert (book.amounts.authorized, book.amounts.charged) == (before.authorized, before.charged)


async def test_an_attempt_whose_key_is_forgotten_is_the_one_that_was_made(stage: Stage) -> None:
    book, method = Book(stage.client, ago=timedelta(days=2)), await stage.here.method(GOOD)
    nameless = book.attempt
    before = len(await stage.here.listed("payment_intents"))
    await book.create(method)
    for attempt in (nameless, book.attempt):
        await stage.here.forgets()
        assert book.take(await stage.client.create(attempt, method=method)) == []
    assert len(await stage.here.listed("payment_intents")) == before + 1
    assert book.amounts == Amounts(charged=1_000)


async def test_an_attempt_that_came_to_stripe_days_after_it_was_made_is_found(stage: Stage) -> None:
    book = Book(stage.client, ago=timedelta(days=3))
    nameless = book.attempt
    await book.create(await stage.here.method(GOOD))
    told = await stage.client.ask(nameless)
    assert (told.provider_reference, book.take(told)) == (book.provider_reference, [])


async def test_a_refund_whose_key_is_forgotten_is_not_made_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.payments.stripe._PAGE_ROWS", 1)
    book = Book(stage.client)
    await book.create(await stage.here.method(GOOD))
    act = await book.refund(300)
    await book.refund(200)
    await stage.here.forgets()
    assert book.take(await stage.client.refund(book.attempt, act)) == []
    refunds = await stage.here.listed("refunds", payment_intent=str(book.provider_reference))
    assert sorted(each["amount"] for each in refunds) == [200, 300]
    assert book.amounts == Amounts(charged=1_000, refunded=500)


async def test_what_was_refunded_by_hand_stands_beside_our_own_refunds(stage: Stage) -> None:
    book = Book(stage.client)
    await book.create(await stage.here.method(GOOD))
    await stage.here.post("/v1/refunds", {"payment_intent": book.provider_reference, "amount": 200})
    await book.refund(300)
    assert book.amounts == Amounts(charged=1_000, refunded=500)


def failed(intent_id: str, payment_id: str) -> Report:
    """What a webhook tells of a step that failed."""
    said = {
        "object": "payment_intent",
        "id": intent_id,
        "status": "requires_payment_method",
        "amount": 1_000,
        "currency": "gbp",
        "capture_method": "automatic",
        "created": int(time.time()) - 60,
        "metadata": {PAYMENT_KEY: payment_id},
        "last_payment_error": {"code": "payment_intent_authentication_failure", "message": "No."},
    }
    (report,) = reports_of_event({"type": "", "created": int(time.time()), "data": {"object": said}})
    return report


async def test_an_attempt_whose_step_failed_has_failed_and_is_ended_when_it_is_asked_about(stage: Stage) -> None:
    book = Book(stage.client)
    await book.create(await stage.here.method(ASKS_FOR_A_STEP))
    assert status_of(book.payment.entries) == "action_required"
    intent_id = str(book.provider_reference)
    await stage.here.step(intent_id, succeeds=False)
    await stage.here.refuses("POST", f"/v1/payment_intents/{intent_id}/cancel")
    (failure,) = book.take(await stage.client.ask(book.attempt))
    assert (failure.type, failure.code) == ("charge_failure", "payment_intent_authentication_failure")
    assert (status_of(book.payment.entries), book.amounts) == ("failed", Amounts())
    assert (await stage.here.intent(intent_id))["status"] == "requires_payment_method"
    assert book.take(await stage.client.ask(book.attempt)) == []
    assert (await stage.here.intent(intent_id))["status"] == "canceled"


async def test_an_attempt_that_is_paid_after_its_step_failed_is_paid(stage: Stage) -> None:
    book = Book(stage.client)
    await book.create(await stage.here.method(ASKS_FOR_A_STEP))
    intent_id = str(book.provider_reference)
    await stage.here.step(intent_id, succeeds=False)
    book.take(failed(intent_id, book.attempt.reference))
    assert book.payment.has_failed
    another = {"payment_method": await stage.here.method(GOOD), "created": int(time.time()) - 60}
    await stage.here.post(f"/v1/payment_intents/{intent_id}", another)
    await stage.here.post(f"/v1/payment_intents/{intent_id}/confirm", {})
    book.take(await stage.client.ask(book.attempt))
    assert (book.amounts, book.payment.has_failed) == (Amounts(charged=1_000), False)
