"""What every provider of payments must do: one contract, and a stage for each provider to pass it on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from domain.payments.amounts import Amounts, amounts
from domain.payments.payment import status_of
from ops.ports import free_port
from runtime.outside import OutcomeUnknown, Refused
from runtime.payments.provider import Act, Provider
from runtime.payments.stripe import Stripe
from tests.payments import Book, new_uuid, sandbox_here
from tests.stripeserver import DECLINED, GOOD, SECRET_KEY, stripe_here

BEFORE: Final = timedelta(minutes=5)


class Stage(NamedTuple):
    """A provider that answers, the same one where nobody does, and methods of payment there."""

    provider: Provider
    unreachable: Provider
    good: str
    declined: str
    declined_code: str


Opened = Callable[[Path], AbstractAsyncContextManager[Stage]]


@asynccontextmanager
async def on_sandbox(folder: Path) -> AsyncIterator[Stage]:
    async with sandbox_here(folder) as sandbox:
        yield Stage(sandbox.client, sandbox.unreachable, "card", "card+decline", "card_declined")


@asynccontextmanager
async def on_stripe(folder: Path) -> AsyncIterator[Stage]:
    async with aiohttp.ClientSession() as session, stripe_here(session) as here:
        client, unreachable = (
            Stripe(session, SECRET_KEY, "whsec_unused", timeout_seconds=20, url=url)
            for url in (here.url, f"http://127.0.0.1:{free_port()}")
        )
        yield Stage(client, unreachable, await here.method(GOOD), await here.method(DECLINED), "card_declined")


STAGES: Final[dict[str, Opened]] = {"sandbox": on_sandbox, "stripe": on_stripe}


@pytest_asyncio.fixture(scope="module", params=sorted(STAGES))
async def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with STAGES[request.param](tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


async def test_a_method_that_works_is_charged_whole_and_once_however_often_it_is_asked(stage: Stage) -> None:
    book = Book(stage.provider)
    await book.create(stage.good)
    assert book.amounts == Amounts(charged=1_000)
    assert await book.create(stage.good) == []
    known = [
        (report.provider_reference, amounts(report.entries))
        async for report in stage.provider.history(datetime.now(UTC) - BEFORE)
        if report.payment_id == book.payment.id
    ]
    assert known == [(book.provider_reference, Amounts(charged=1_000))]


async def test_a_method_that_is_declined_is_charged_nothing_and_says_why(stage: Stage) -> None:
    book = Book(stage.provider)
    (failure,) = await book.create(stage.declined)
    assert (failure.type, failure.code) == ("charge_failure", stage.declined_code)
    assert book.amounts == Amounts()
    assert await book.create(stage.declined) == []
    again = Book(stage.provider)
    await again.create(stage.good)
    assert (again.amounts, book.amounts) == (Amounts(charged=1_000), Amounts())


async def test_authorized_money_is_captured_in_parts_and_the_rest_let_go(stage: Stage) -> None:
    book = Book(stage.provider, capture="manual")
    await book.create(stage.good)
    assert book.amounts == Amounts(authorized=1_000)
    act = await book.capture(400)
    assert (book.amounts.charged, book.amounts.charge_pending) == (400, 0)
    assert book.take(await stage.provider.capture(book.attempt, act)) == []
    if book.payment.capabilities.multi_capture:
        await book.capture(250)
        assert (book.amounts.charged, book.payment.capturable) == (650, 350)
        await book.void()
    now = book.amounts
    assert (now.charged + now.cancelled, book.payment.capturable, now.is_pending) == (1_000, 0, False)


async def test_money_that_nobody_captured_is_let_go_once(stage: Stage) -> None:
    book = Book(stage.provider, capture="manual")
    await book.create(stage.good)
    act = await book.void()
    assert book.amounts == Amounts(authorized=1_000, cancelled=1_000)
    assert book.take(await stage.provider.void(book.attempt, act)) == []
    assert status_of(book.payment.entries) == "cancelled"


async def test_refunds_are_made_once_and_never_exceed_what_was_charged(stage: Stage) -> None:
    book = Book(stage.provider)
    await book.create(stage.good)
    act = await book.refund(300)
    assert (book.amounts.refunded, book.amounts.refund_pending) == (300, 0)
    assert book.take(await stage.provider.refund(book.attempt, act)) == []
    await book.refund(700)
    assert book.amounts == Amounts(charged=1_000, refunded=1_000)
    too_much = Act(str(new_uuid()), 1)
    try:
        book.take(await stage.provider.refund(book.attempt, too_much))
    except Refused:
        pass
    else:
        assert book.payment.entries[-1].type == "refund_failure"
    assert book.amounts == Amounts(charged=1_000, refunded=1_000)


async def test_asking_tells_all_that_happened_and_changes_nothing(stage: Stage) -> None:
    book = Book(stage.provider, capture="manual")
    await book.create(stage.good)
    await book.capture(400)
    await book.refund(100)
    for _ in range(2):
        told = await stage.provider.ask(book.attempt)
        assert book.take(told) == []
        assert told.provider_reference == book.provider_reference
        assert _without_requests(amounts(told.entries)) == _without_requests(book.amounts)


async def test_a_payment_that_the_provider_never_heard_of_has_no_story(stage: Stage) -> None:
    told = await stage.provider.ask(Book(stage.provider).attempt)
    assert (told.provider_reference, told.entries) == (None, ())


async def test_without_an_answer_the_outcome_is_unknown_and_the_same_act_is_repeated(stage: Stage) -> None:
    book = Book(stage.provider)
    attempt = book.attempt
    with pytest.raises(OutcomeUnknown):
        await stage.unreachable.create(attempt, method=stage.good)
    with pytest.raises(OutcomeUnknown):
        await stage.unreachable.ask(attempt)
    await book.create(stage.good)
    assert book.amounts == Amounts(charged=1_000)


async def test_a_buyer_without_a_method_is_waited_for_and_can_be_given_up(stage: Stage) -> None:
    book = Book(stage.provider)
    await book.create()
    assert (book.amounts.charged, book.amounts.charge_pending) == (0, 1_000)
    assert await book.create() == []
    await book.void()
    assert book.amounts == Amounts()
    assert not book.amounts.is_pending


def _without_requests(now: Amounts) -> tuple[int, int, int, int]:
    return now.authorized, now.charged, now.refunded, now.cancelled
