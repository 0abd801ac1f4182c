"""Stripe when not all goes well: what may not be read, keys that it has forgotten, and steps that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from domain.payments.amounts import Amounts
from runtime.payments.provider import OutcomeUnknown
from runtime.payments.stripe import Stripe
from tests.payments import Book
from tests.stripeserver import GOOD, SECRET_KEY, StripeHere, stripe_here


class Stage(NamedTuple):
    """A Stripe here, and its client."""

    here: StripeHere
    client: Stripe


@pytest_asyncio.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with aiohttp.ClientSession() as session, stripe_here(session) as here:
        yield Stage(here, Stripe(session, SECRET_KEY, "whsec_unused", timeout_seconds=20, url=here.url))


@pytest.mark.parametrize("unreadable", ["/v1/refunds", "/v1/payment_intents/{}"])
async def test_what_may_not_be_read_says_nothing_of_what_was_done(stage: Stage, unreadable: str) -> None:
    book, method = Book(stage.client), await stage.here.method(GOOD)
    if "{}" in unreadable:
        await book.create(method)
    await stage.here.refuses_to_read(unreadable.format(book.provider_reference))
    with pytest.raises(OutcomeUnknown, match="cannot be read"):
        await book.create(method)
    await book.create(method)
    assert book.amounts == Amounts(charged=1_000)


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
