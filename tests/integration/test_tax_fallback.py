"""A tax provider that is away for long: the shop's own rates answer in its place, where it wants that and they know."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from domain.limits import PART_MAX_TAXES
from domain.quote.places import Area
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.terms import TAXES, StateTerms
from tests.integration.counter import NET_MINOR
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.taxing import Desk, computes, desk, says, tax
from tests.receiver import Answer, Receiver, closes, with_status

_PATIENCE: Final = timedelta(seconds=600)
_OWN_RATE: Final = TaxRate("Sales tax", Area("US"), "standard", 1_000)
_OWN_MINOR: Final = 30


async def _asked(shop: Desk, answer: Answer = closes, *rates: TaxRate) -> UUID:
    """A checkout whose provider answers like this, in a shop with these rates."""
    stated = StateTerms(TAXES, taxes=Taxes("US", rates, TaxPolicy()))
    assert await shop.applied(stated, STAFF) == "applied"
    shop.office.answer = answer
    checkout_id = await shop.opened()
    await shop.asks(checkout_id)
    return checkout_id


async def _waits(shop: Desk, waited: timedelta) -> None:
    """Runs the task, which is that old by now."""
    await shop.floor.pool.execute("UPDATE tasks SET created_at = now() - $1::interval", waited)
    await shop.tasks.make_due()
    assert await shop.run() == 1


def _patient(floor: Shopfloor, receiver: Receiver, **settings: Any) -> Any:
    return desk(floor, receiver, tax_fallback_seconds=_PATIENCE.total_seconds(), **settings)


async def test_the_shop_s_own_rates_answer_for_a_provider_that_is_away_for_too_long(
    floor: Shopfloor, receiver: Receiver
) -> None:
    async with _patient(floor, receiver) as shop:
        checkout_id = await _asked(shop, closes, _OWN_RATE)
        await _waits(shop, _PATIENCE / 2)
        assert await shop.lacking(checkout_id) == ["taxes_pending"]
        await _waits(shop, _PATIENCE)
        view, taxes = await shop.look(checkout_id)
        assert view.quote is not None
        assert (view.requirements, taxes) == ([], None)
        assert [(each.name, each.amount_minor) for each in view.quote.taxes] == [("Sales tax", _OWN_MINOR)]
        completion = shop.completion(checkout_id, NET_MINOR + _OWN_MINOR)
        assert await shop.applied(completion) == "applied"
        assert await floor.pool.fetchval("SELECT quote->'tax_provider' FROM checkouts") == "null"
        shop.office.answer = computes
        assert await shop.confirmed(completion.order_id) == "applied"
        assert await shop.told() == [], "it has computed nothing of this order"
        await floor.verified()


async def test_it_is_asked_once_more_when_its_time_is_over(floor: Shopfloor, receiver: Receiver) -> None:
    """And not only when its next turn would come, which may be much later."""
    async with _patient(floor, receiver, task_retry_max_seconds=3_600) as shop:
        checkout_id = await _asked(shop, closes, _OWN_RATE)
        await shop.floor.pool.execute("UPDATE tasks SET runs = 20")
        await _waits(shop, _PATIENCE - timedelta(seconds=60))
        due_in = await shop.floor.pool.fetchval("SELECT due_at - created_at FROM tasks")
        assert abs(due_in - _PATIENCE) < timedelta(seconds=5)
        shop.office.answer = computes
        await _waits(shop, _PATIENCE)
        view, _ = await shop.look(checkout_id)
        assert view.quote is not None
        assert [each.name for each in view.quote.taxes] == ["TX"], "it is back"


async def test_nonsense_is_as_good_as_no_answer_and_a_refusal_is_an_answer(
    floor: Shopfloor, receiver: Receiver
) -> None:
    async with _patient(floor, receiver, task_attempts_max=2) as shop:
        nonsense = await _asked(shop, says([tax(-1)]), _OWN_RATE)
        assert await shop.run() == 1
        await _waits(shop, timedelta())
        assert await shop.lacking(nonsense) == [], "it was asked often enough, however short the time"
        refused = await _asked(shop, with_status(422), _OWN_RATE)
        await _waits(shop, _PATIENCE)
        assert await shop.lacking(refused) == ["taxes_refused"]
        await floor.verified()


@pytest.mark.parametrize(
    "rates",
    [
        (),
        (TaxRate("VAT", Area("GB"), "standard", 2_000),),
        (TaxRate("Old", Area("US"), "standard", 1_000, ends_at=datetime(2020, 1, 1, tzinfo=UTC)),),
    ],
    ids=["none", "elsewhere", "ended"],
)
async def test_a_country_without_rates_is_not_taken_for_tax_free(
    floor: Shopfloor, receiver: Receiver, rates: tuple[TaxRate, ...]
) -> None:
    async with _patient(floor, receiver) as shop:
        checkout_id = await _asked(shop, closes, *rates)
        await _waits(shop, 10 * _PATIENCE)
        assert await shop.lacking(checkout_id) == ["taxes_pending"]


async def test_more_own_taxes_than_an_answer_may_have_leave_the_question_open(
    floor: Shopfloor, receiver: Receiver
) -> None:
    many = [TaxRate(f"Levy {number}", Area("US"), "standard", 100) for number in range(PART_MAX_TAXES + 1)]
    async with _patient(floor, receiver) as shop:
        checkout_id = await _asked(shop, closes, *many)
        await _waits(shop, _PATIENCE)
        assert await shop.lacking(checkout_id) == ["taxes_pending"]
        assert await floor.dead_letters() == []
        shop.office.answer = computes
        await _waits(shop, _PATIENCE)
        assert await shop.lacking(checkout_id) == []


async def test_unless_it_is_set_the_checkout_waits_however_long_that_is(floor: Shopfloor, receiver: Receiver) -> None:
    async with desk(floor, receiver) as shop:
        checkout_id = await _asked(shop, closes, _OWN_RATE)
        await _waits(shop, timedelta(days=300))
        assert await shop.lacking(checkout_id) == ["taxes_pending"]
