"""Live delivery rates: tasks ask for them, an answer counts for its question and for a while, and whatever the provider
does, other methods can be had and nothing waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from domain.checkout_rates import AskRates, RecordRates
from domain.checkout_taxes import AskTaxes
from domain.checkouts import CancelCheckout, ChangeCheckout
from domain.model import Personal, Wanted
from domain.quote.basket import LiveRate, RateAnswer
from domain.quote.terms.taxes import Taxes
from domain.terms import METHOD, TAXES, StateTerms, part_name
from runtime.service import ANSWER_MAX_BYTES
from tests.integration.counter import AUSTIN, NET_MINOR, SECRET, Counter
from tests.integration.delivering import POST, VAN, VAN_MINOR, depot, rate, says, weighs
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.receiver import Answer, Receiver, closes, hangs, succeeds_endlessly, talks_nonsense, with_status
from workers.tasks.kinds import ESTIMATES, RATES

_CALLS_COUNTED = "tidegate_delivery_call_seconds_count"
_TOTAL_MINOR = NET_MINOR + VAN_MINOR


@pytest.fixture
async def shop(floor: Shopfloor, receiver: Receiver) -> AsyncIterator[Counter]:
    async with depot(floor, receiver, delivery_timeout_seconds=0.3, task_attempts_max=2) as made:
        yield made


async def _options(shop: Counter, checkout_id: UUID) -> tuple[dict[str, int], bool]:
    """What each delivery would cost, and whether more may come."""
    view, _ = await shop.look(checkout_id)
    return {each.name: each.price_minor for each in view.delivery_options}, view.delivery_options_pending


async def _asks_again(shop: Counter, checkout_id: UUID) -> None:
    """As who looks at the checkout after its answer has expired."""
    question, asks = await shop.floor.pool.fetchrow("SELECT rate_question, rate_asks FROM checkouts")
    assert await shop.applied(AskRates(checkout_id, asks + 1, Personal(question)), STAFF) == "applied"


async def test_a_live_rate_is_asked_for_shown_and_ordered_at(shop: Counter) -> None:
    checkout_id = await shop.opened(method_id=VAN.id)
    assert await shop.lacking(checkout_id) == ["delivery_pending"]
    assert await _options(shop, checkout_id) == ({"Post": 40}, True)
    assert await shop.applied(shop.completion(checkout_id, NET_MINOR)) == "rejected: checkout_incomplete"
    await shop.asks(checkout_id)
    assert (await shop.look(checkout_id))[1] is None, "it is being asked"
    assert await _options(shop, checkout_id) == ({"Post": 40}, True)
    assert await shop.run() == 1
    view, asked = await shop.look(checkout_id)
    assert (view.requirements, asked, view.version) == ([], None, 1)
    assert await _options(shop, checkout_id) == ({"Van": VAN_MINOR, "Post": 40}, False)
    assert shop.office.receiver.received[0].headers["Authorization"] == f"Bearer {SECRET}"
    ((act, key, said),) = shop.office.heard
    assert (act, key) == ("rates", f"{checkout_id}:1")
    assert said == {
        "provider": "remote",
        "currency": "GBP",
        "to": {"country": "US", "region": "TX", "postal": "78701"},
        "methods": [{"id": str(VAN.id), "name": "Van"}],
        "parts": [{"sku": "MUG", "quantity": 3, "weight_grams": 0, "amount_minor": NET_MINOR}],
    }
    assert await shop.applied(shop.completion(checkout_id, _TOTAL_MINOR)) == "applied"
    order = await shop.floor.pool.fetchrow("SELECT total_minor FROM orders")
    quote = await shop.floor.pool.fetchval("SELECT quote->'delivery'->>'amount_minor' FROM checkouts")
    assert (order["total_minor"], quote) == (_TOTAL_MINOR, str(VAN_MINOR))
    await shop.floor.verified()


async def test_the_log_does_not_say_where_anybody_lives(shop: Counter) -> None:
    checkout_id = await shop.answered()
    pool = shop.floor.pool
    events = await pool.fetchval("SELECT string_agg(type || data::text, ' ') FROM events")
    assert "rates_asked" in events
    assert "78701" not in events
    for table in ("commands", "tasks"):
        rows = await pool.fetch(f"SELECT * FROM {table}")
        assert not [row for row in rows if "78701" in str(dict(row))]
    assert "78701" in await pool.fetchval("SELECT rate_question FROM checkouts")
    assert await shop.applied(CancelCheckout(checkout_id)) == "applied"
    assert await pool.fetchval("SELECT rate_question FROM checkouts") is None
    await shop.floor.verified()


async def test_a_question_that_comes_after_its_address_was_taken_back_is_not_asked(shop: Counter) -> None:
    checkout_id = await shop.opened(method_id=VAN.id)
    _, asked = await shop.look(checkout_id)
    assert asked is not None
    assert await shop.applied(ChangeCheckout(checkout_id, cleared=("address",))) == "applied"
    assert await shop.applied(asked, STAFF) == "applied"
    assert await shop.run() == 0
    assert await shop.floor.pool.fetchval("SELECT rate_question FROM checkouts") is None
    await shop.floor.verified()


async def test_after_an_outage_nobody_asks_for_carts_that_have_long_been_left(shop: Counter) -> None:
    checkout_id = await shop.opened(method_id=VAN.id)
    await shop.asks(checkout_id)
    await shop.floor.pool.execute("UPDATE tasks SET created_at = now() - interval '10 minutes'")
    assert await shop.run() == 1
    assert shop.office.heard == []
    assert await shop.floor.pool.fetchval("SELECT count(*) FROM tasks") == 0
    await shop.asks(checkout_id)
    assert await shop.run() == 1
    assert await shop.lacking(checkout_id) == [], "whoever still looks has them asked for again"
    await shop.floor.verified()


async def test_an_answer_counts_until_something_else_would_be_asked(shop: Counter) -> None:
    checkout_id = await shop.answered(method_id=VAN.id)
    moved = msgspec.structs.replace(AUSTIN, postal_code="78702")
    changes: tuple[dict[str, Any], ...] = ({"lines": (Wanted("MUG", 2),)}, {"address": moved.sealed()})
    for number, changed in enumerate(changes, 2):
        assert await shop.applied(ChangeCheckout(checkout_id, **changed)) == "applied"
        assert await shop.lacking(checkout_id) == ["delivery_pending"]
        await shop.asks(checkout_id)
        assert await shop.run() == 1
        assert shop.office.keys[-1] == f"{checkout_id}:{number}", "each question has a key of its own"
        assert (await _options(shop, checkout_id))[0]["Van"] == 108
    assert await shop.applied(ChangeCheckout(checkout_id, codes=("NONE",))) == "applied"
    assert await shop.lacking(checkout_id) == []
    await shop.floor.verified()


async def test_nobody_orders_at_a_rate_that_has_expired(shop: Counter) -> None:
    checkout_id = await shop.opened(method_id=VAN.id)
    await shop.asks(checkout_id)
    past = datetime.now(UTC) - timedelta(seconds=1)
    old = RecordRates(checkout_id, 1, RateAnswer((LiveRate(VAN.id, "GBP", VAN_MINOR),), past))
    assert await shop.applied(old, STAFF) == "applied"
    assert await shop.run() == 1
    assert shop.office.heard == [], "it was answered"
    assert await shop.applied(shop.completion(checkout_id, _TOTAL_MINOR)) == "rejected: checkout_incomplete"
    assert await shop.lacking(checkout_id) == ["delivery_pending"]
    asked = await shop.completes(checkout_id)
    assert asked is not None
    assert asked.ask == 2, "whoever completes it has it asked for again"
    assert await shop.applied(asked, STAFF) == "applied"
    shop.office.answer = says(rate(200))
    assert await shop.run() == 1
    assert await shop.applied(shop.completion(checkout_id, _TOTAL_MINOR)) == "rejected: checkout_changed"
    assert await shop.applied(shop.completion(checkout_id, NET_MINOR + 200)) == "applied"
    await shop.floor.verified()


async def test_who_completes_with_another_method_has_nobody_asked(shop: Counter) -> None:
    checkout_id = await shop.opened(method_id=POST.id)
    assert (await shop.look(checkout_id))[1] is not None
    assert await shop.completes(checkout_id) is None
    assert await shop.applied(shop.completion(checkout_id, NET_MINOR + 40)) == "applied"
    assert (await shop.look(checkout_id))[1] is None
    await shop.floor.verified()


async def test_a_rate_is_good_for_as_long_as_its_provider_says_and_no_longer_than_the_shop_does(shop: Counter) -> None:
    for answer, seconds in ((says(rate()), 900), (says(rate(), seconds=120), 120), (says(rate(), seconds=9_999), 900)):
        shop.office.answer = answer
        before = datetime.now(UTC)
        checkout_id = await shop.answered(method_id=VAN.id)
        expires_at = await shop.floor.pool.fetchval(
            "SELECT (rate_answer->>'expires_at')::timestamptz FROM checkouts WHERE id = $1", checkout_id
        )
        assert timedelta(seconds=seconds) <= expires_at - before + timedelta(seconds=1)
        assert expires_at <= datetime.now(UTC) + timedelta(seconds=seconds)


async def test_an_answer_to_an_earlier_question_is_left_out(shop: Counter) -> None:
    checkout_id = await shop.opened(method_id=VAN.id)
    shop.office.answer = closes
    await shop.asks(checkout_id)
    assert await shop.run() == 1
    shop.office.answer = weighs
    assert await shop.applied(ChangeCheckout(checkout_id, lines=(Wanted("MUG", 2),))) == "applied"
    await shop.asks(checkout_id)
    late = RecordRates(checkout_id, 1, RateAnswer((LiveRate(VAN.id, "GBP", 1),)))
    assert await shop.applied(late, STAFF) == "rejected: checkout_changed"
    # The first task asks what is to be known by now, the second finds that it was answered.
    await shop.tasks.make_due()
    assert [await shop.run(), await shop.run()] == [1, 1]
    assert shop.office.keys == [f"{checkout_id}:1", f"{checkout_id}:2"]
    assert await shop.lacking(checkout_id) == []
    await shop.floor.verified()


async def test_two_who_look_at_once_have_it_asked_once(shop: Counter) -> None:
    checkout_id = await shop.opened()
    for _, asked in [await shop.look(checkout_id) for _ in range(2)]:
        assert asked is not None
        assert await shop.applied(asked, STAFF) == "applied"
    assert await shop.run() == 1
    types = [row["type"] for row in await shop.floor.pool.fetch("SELECT type FROM events ORDER BY seq")]
    assert types[-3:] == ["checkout.rates_asked", "checkout.unchanged", "checkout.rates_answered"]
    await shop.floor.verified()


async def test_nothing_is_asked_before_it_is_known_what_goes_where(shop: Counter) -> None:
    nothings: tuple[dict[str, Any], ...] = ({"address": None}, {"lines": ()})
    for nothing in nothings:
        checkout_id = await shop.opened(method_id=VAN.id, **nothing)
        assert (await shop.look(checkout_id))[1] is None
        assert not (await _options(shop, checkout_id))[1]
    assert await shop.applied(StateTerms(part_name(METHOD, VAN.id)), STAFF) == "applied"
    assert (await shop.look(await shop.opened()))[1] is None


@pytest.mark.parametrize(
    "answer",
    [
        hangs,
        closes,
        talks_nonsense,
        succeeds_endlessly,
        with_status(500),
        with_status(302, Location="/"),
        with_status(200),
        says(rate(-1)),
        says(rate(10**10 + 1)),
        says(rate(currency="USD")),
        says(rate(), rate(method_id=UUID(int=9))),
        says(rate(), rate(1)),
        says(rate(), seconds=30),
    ],
    ids=[
        "slow",
        "away",
        "not HTTP",
        "no end",
        "broken",
        "elsewhere",
        "empty",
        "negative",
        "huge",
        "currency",
        "unknown method",
        "twice",
        "too short",
    ],
)
async def test_whatever_a_provider_does_the_checkout_can_be_had_otherwise(shop: Counter, answer: Answer) -> None:
    """It is asked again, and then there are no rates for a while: whoever looks after that has them asked for."""
    checkout_id = await shop.opened(method_id=VAN.id)
    shop.office.answer = answer
    await shop.asks(checkout_id)
    assert await shop.run() == 1
    assert await shop.lacking(checkout_id) == ["delivery_pending"]
    assert (await shop.look(checkout_id))[1] is None, "it is not asked twice"
    await shop.tasks.make_due()
    assert await shop.run() == 1
    assert len(set(shop.office.keys)) == 1
    assert await shop.tasks.task(f"rates:{checkout_id}") is None
    assert await shop.lacking(checkout_id) == ["delivery_unavailable"]
    assert await _options(shop, checkout_id) == ({"Post": 40}, False)
    assert (await shop.look(checkout_id))[1] is None
    shop.office.answer = weighs
    await _asks_again(shop, checkout_id)
    assert await shop.run() == 1
    assert await shop.lacking(checkout_id) == []
    assert await shop.applied(ChangeCheckout(checkout_id, method_id=POST.id)) == "applied"
    assert await shop.applied(shop.completion(checkout_id, NET_MINOR + 40)) == "applied"
    await shop.floor.verified()


async def test_an_answer_without_an_end_is_read_up_to_a_bound(floor: Shopfloor, receiver: Receiver) -> None:
    async with depot(floor, receiver, delivery_timeout_seconds=30) as shop:
        checkout_id = await shop.opened()
        shop.office.answer = succeeds_endlessly
        await shop.asks(checkout_id)
        assert await shop.run() == 1
        waiting = await shop.tasks.task(f"rates:{checkout_id}")
        assert waiting is not None
        assert f"more than {ANSWER_MAX_BYTES} bytes" in waiting["last_error"]


async def test_a_refusal_and_an_answer_without_rates_mean_the_same(shop: Counter) -> None:
    for answer in (with_status(422), says()):
        shop.office.answer = answer
        checkout_id = await shop.answered(method_id=VAN.id)
        assert await shop.lacking(checkout_id) == ["delivery_unavailable"]
        assert (await shop.look(checkout_id))[1] is None
    assert len(shop.office.heard) == 2
    await shop.floor.verified()


async def test_taxes_do_not_wait_for_a_delivery_provider_that_hangs(shop: Counter) -> None:
    shop.office.answer = hangs
    lane = shop.tasks.lane(RATES, size=1)
    await shop.asks(await shop.opened())
    assert await lane.look() == 1
    await shop.office.receiver.has(1)
    assert await shop.tasks.run_due(ESTIMATES) == 0, "none of its tasks is in the other lane"
    await lane.idle()


async def test_taxes_are_asked_for_once_it_is_known_what_is_taxed(floor: Shopfloor, receiver: Receiver) -> None:
    floor.tax_provider = "remote"
    nowhere: dict[str, Any] = {"tax_url": "http://127.0.0.1:9", "tax_secret": SecretStr(SECRET)}
    async with depot(floor, receiver, tax_provider="remote", **nowhere) as shop:
        assert await shop.applied(StateTerms(TAXES, taxes=Taxes("US")), STAFF) == "applied"
        checkout_id = await shop.opened(method_id=VAN.id)
        assert await shop.lacking(checkout_id) == ["delivery_pending", "taxes_pending"]
        assert [type(each) for each in await shop.all_asked(checkout_id)] == [AskRates]
        await shop.asks(checkout_id)
        assert await shop.all_asked(checkout_id) == ()
        assert await shop.run() == 1
        assert [type(each) for each in await shop.all_asked(checkout_id)] == [AskTaxes]


async def test_calls_are_timed_by_what_came_of_them(shop: Counter) -> None:
    def counted() -> dict[str, float]:
        told = [each for family in REGISTRY.collect() for each in family.samples if each.name == _CALLS_COUNTED]
        return {each.labels["result"]: each.value for each in told}

    before = counted()
    for answer in (says(rate(-1)), closes, with_status(422), weighs):
        shop.office.answer = answer
        await shop.answered()
        await shop.floor.pool.execute(
            "UPDATE tasks SET due_at = now() + interval '1 hour'"
        )  # it is not called again meanwhile
    grown = {result: value - before.get(result, 0) for result, value in counted().items()}
    assert grown == {"failed": 1, "unknown": 1, "refused": 1, "answered": 1}
