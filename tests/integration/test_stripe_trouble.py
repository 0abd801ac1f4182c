"""Stripe when not all goes well: what may not be read, keys that it has forgotten, and steps that fail."""

from __future__ import annotations

from collections.abc import AsyncIterator
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
