"""Taxes that a provider computes: tasks ask for them, an answer counts for its question only, and the provider is told
what becomes of the order. Nothing else waits for the provider, whatever it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from domain.checkout_taxes import RecordTaxes
from domain.checkouts import CancelCheckout, ChangeCheckout
from domain.model import Wanted
from domain.orders import CancelOrder
from domain.quote.basket import TaxAnswer
from domain.quote.quoted import TaxLine
from domain.quote.terms.deliveries import Method, Rate
from domain.terms import METHOD, StateTerms, part_name
from runtime.service import ANSWER_MAX_BYTES
from tests.integration.counter import NET_MINOR, SECRET
from tests.integration.reacting import Stage, tools
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.taxing import TAX_MINOR, Desk, computes, desk, says, tax
from tests.receiver import Answer, Receiver, closes, hangs, succeeds_endlessly, talks_nonsense, with_status
from workers.reactions.tax_reports import TaxReporting
from workers.tasks.kinds import CALLS, ESTIMATES

CALLS_COUNTED = "tidegate_tax_call_seconds_count"


@pytest.fixture
async def shop(floor: Shopfloor, receiver: Receiver) -> AsyncIterator[Desk]:
    async with desk(floor, receiver, tax_timeout_seconds=0.3, task_attempts_max=2) as made:
        yield made


async def test_a_checkout_waits_for_its_taxes_and_is_ordered_with_them(shop: Desk) -> None:
    checkout_id = await shop.opened()
    assert await shop.lacking(checkout_id) == ["taxes_pending"]
    assert await shop.applied(shop.completion(checkout_id, NET_MINOR)) == "rejected: checkout_incomplete"
    await shop.asks(checkout_id)
    assert (await shop.look(checkout_id))[1] is None, "it is being asked"
    assert await shop.run() == 1
    view, taxes = await shop.look(checkout_id)
    assert (view.requirements, taxes, view.version) == ([], None, 1)
    assert view.quote is not None
    assert (view.quote.added_tax_minor, view.quote.total_minor) == (TAX_MINOR, NET_MINOR + TAX_MINOR)
    (heard,) = shop.office.heard
    assert shop.office.receiver.received[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert heard[2]["to"] == {"country": "US", "region": "TX", "postal": "78701"}
    assert [(part["sku"], part["amount_minor"]) for part in heard[2]["parts"]] == [("MUG", NET_MINOR)]
    completion = shop.completion(checkout_id)
    assert await shop.applied(completion) == "applied"
    quote = await shop.floor.pool.fetchval("SELECT quote->>'tax_provider' FROM checkouts")
    assert quote == "remote"
    await shop.floor.verified()


async def test_the_log_does_not_say_where_anybody_lives(shop: Desk) -> None:
    checkout_id = await shop.answered()
    pool = shop.floor.pool
    events = await pool.fetchval("SELECT string_agg(type || data::text, ' ') FROM events")
    assert "taxes_asked" in events
    assert "78701" not in events
    assert not [row for row in await pool.fetch("SELECT * FROM commands") if "78701" in str(dict(row))]
    assert "78701" in await shop.floor.pool.fetchval("SELECT tax_question FROM checkouts")
    assert await shop.applied(CancelCheckout(checkout_id)) == "applied"
    assert await shop.floor.pool.fetchval("SELECT tax_question FROM checkouts") is None
    await shop.floor.verified()


async def test_an_answer_counts_until_the_question_changes(shop: Desk) -> None:
    checkout_id = await shop.answered()
    assert await shop.applied(ChangeCheckout(checkout_id, lines=(Wanted("MUG", 2),))) == "applied"
    assert await shop.lacking(checkout_id) == ["taxes_pending"]
    await shop.asks(checkout_id)
    assert await shop.run() == 1
    view, _ = await shop.look(checkout_id)
    assert view.quote is not None
    assert (view.requirements, view.quote.tax_minor) == ([], 17)
    assert len(set(shop.office.keys)) == 2, "each question has a key of its own"
    await shop.floor.verified()


async def test_an_answer_to_an_earlier_question_is_left_out(shop: Desk) -> None:
    checkout_id = await shop.opened()
    shop.office.answer = closes
    await shop.asks(checkout_id)
    assert await shop.run() == 1
    shop.office.answer = computes
    assert await shop.applied(ChangeCheckout(checkout_id, lines=(Wanted("MUG", 2),))) == "applied"
    await shop.asks(checkout_id)
    late = RecordTaxes(checkout_id, 1, TaxAnswer(((TaxLine("TX", "US", 825, "standard", 25),),)))
    assert await shop.applied(late, STAFF) == "rejected: checkout_changed"
    # The first task asks what is to be known by now, the second finds that it was answered.
    await shop.tasks.make_due()
    assert [await shop.run(), await shop.run()] == [1, 1]
    assert shop.office.keys == [f"{checkout_id}:1", f"{checkout_id}:2"]
    assert await shop.lacking(checkout_id) == []
    await shop.floor.verified()


async def test_two_simultaneous_reads_ask_the_provider_once(shop: Desk) -> None:
    checkout_id = await shop.opened()
    looks = [await shop.look(checkout_id) for _ in range(2)]
    for _, taxes in looks:
        assert taxes is not None
        assert await shop.applied(taxes, STAFF) == "applied"
    assert await shop.run() == 1
    assert await shop.floor.pool.fetchval("SELECT tax_asks FROM checkouts") == 1
    types = [row["type"] for row in await shop.floor.pool.fetch("SELECT type FROM events ORDER BY seq")]
    assert types[-3:] == ["checkout.taxes_asked", "checkout.unchanged", "checkout.taxes_answered"]
    await shop.floor.verified()


async def test_nothing_is_asked_before_it_is_known_where_the_order_goes(shop: Desk) -> None:
    post = Method(UUID(int=5), "Post", rates=(Rate("GBP", 0),))
    assert await shop.applied(StateTerms(part_name(METHOD, post.id), method=post), STAFF) == "applied"
    checkout_id = await shop.opened(address=None, method_id=post.id)
    view, taxes = await shop.look(checkout_id)
    assert ({each.code for each in view.requirements}, taxes) == ({"address_required", "taxes_pending"}, None)
    empty = await shop.opened(lines=())
    assert (await shop.look(empty))[1] is None


@pytest.mark.parametrize(
    "answer",
    [hangs, closes, talks_nonsense, succeeds_endlessly, with_status(500), with_status(302, Location="/"), says()],
    ids=["slow", "away", "not HTTP", "no end", "broken", "elsewhere", "no taxes"],
)
async def test_whatever_a_provider_does_the_checkout_waits_and_can_be_used(shop: Desk, answer: Answer) -> None:
    checkout_id = await shop.opened()
    shop.office.answer = answer
    await shop.asks(checkout_id)
    assert await shop.run() == 1
    waiting = await shop.tasks.task(f"taxes:{checkout_id}")
    assert waiting is not None
    assert waiting["state"] == "queued"
    assert shop.office.acts == ["estimate"]
    assert await shop.lacking(checkout_id) == ["taxes_pending"]
    assert (await shop.look(checkout_id))[1] is None, "it is not asked twice"
    assert await shop.applied(ChangeCheckout(checkout_id, codes=("NONE",))) == "applied"
    shop.office.answer = computes
    await shop.tasks.make_due()
    assert await shop.run() == 1
    assert await shop.lacking(checkout_id) == []
    assert len(set(shop.office.keys)) == 1
    await shop.floor.verified()


async def test_an_answer_without_an_end_is_read_up_to_a_bound(floor: Shopfloor, receiver: Receiver) -> None:
    async with desk(floor, receiver, tax_timeout_seconds=30) as shop:
        checkout_id = await shop.opened()
        shop.office.answer = succeeds_endlessly
        await shop.asks(checkout_id)
        assert await shop.run() == 1
        waiting = await shop.tasks.task(f"taxes:{checkout_id}")
        assert waiting is not None
        assert f"more than {ANSWER_MAX_BYTES} bytes" in waiting["last_error"]


@pytest.mark.parametrize(
    "answer",
    [
        says([tax(25)], [tax(1)]),
        says([tax(-1)]),
        says([tax(10**15 + 1)]),
        says([{**tax(25), "reason": "because"}]),
        says([{**tax(25), "country": "Texas"}]),
        says([{**tax(25), "rate_bp": 10_001}]),
        says([{**tax(25), "name": "T\x00X"}]),
        says([tax(1)] * 21),
    ],
    ids=["parts", "negative", "too much", "reason", "country", "rate", "name", "many"],
)
async def test_impossible_answers_count_as_a_refusal_after_the_last_attempt(shop: Desk, answer: Answer) -> None:
    checkout_id = await shop.opened()
    shop.office.answer = answer
    await shop.asks(checkout_id)
    assert await shop.run() == 1
    assert await shop.lacking(checkout_id) == ["taxes_pending"]
    await shop.tasks.make_due()
    assert await shop.run() == 1
    assert await shop.lacking(checkout_id) == ["taxes_refused"]
    assert await shop.tasks.task(f"taxes:{checkout_id}") is None
    await shop.floor.verified()


async def test_what_was_refused_is_asked_again_only_by_who_completes(shop: Desk) -> None:
    checkout_id = await shop.opened()
    shop.office.answer = with_status(422)
    await shop.asks(checkout_id)
    assert await shop.run() == 1
    view, taxes = await shop.look(checkout_id)
    assert ([each.code for each in view.requirements], taxes) == (["taxes_refused"], None)
    assert await shop.applied(shop.completion(checkout_id, NET_MINOR)) == "rejected: checkout_incomplete"
    taxes = await shop.completes(checkout_id)
    assert taxes is not None
    assert await shop.applied(taxes, STAFF) == "applied"
    shop.office.answer = computes
    assert await shop.run() == 1
    assert await shop.lacking(checkout_id) == []
    await shop.floor.verified()


async def test_an_answer_that_comes_twice_counts_once(shop: Desk) -> None:
    """The process is killed after it has posted the answer: the task is run again."""
    checkout_id = await shop.opened()
    await shop.asks(checkout_id)
    (task,) = await shop.tasks.queue.claim(["estimate_taxes"], 1)
    performer = shop.tasks.performer()
    now = asyncio.get_running_loop().time()
    await asyncio.gather(performer.run(task, now), performer.run(task, now))
    rows = await shop.floor.pool.fetch("SELECT type FROM events WHERE type = 'checkout.taxes_answered'")
    assert len(rows) == 1
    assert await shop.lacking(checkout_id) == []
    await shop.floor.verified()


async def test_payments_do_not_wait_for_a_tax_provider_that_hangs(shop: Desk) -> None:
    """All of its lane hangs, and the lane of payments is free."""
    shop.office.answer = hangs
    lane = shop.tasks.lane(ESTIMATES, size=1)
    await shop.asks(await shop.opened())
    assert await lane.look() == 1
    await shop.office.receiver.has(1)
    kinds = await shop.tasks.pool.fetchval("SELECT count(*) FROM tasks WHERE kind = 'estimate_taxes'")
    assert kinds == 1
    assert await shop.tasks.run_due(CALLS) == 0, "none of its tasks is in the other lane"
    await lane.idle()


async def test_what_was_paid_is_committed_once_with_what_was_agreed(shop: Desk) -> None:
    order_id = await shop.ordered()
    assert await shop.told() == []
    await shop.paid(order_id)
    assert await shop.told() == ["commit"]
    sale = shop.office.heard[-1][2]["sale"]
    placed_at = await shop.floor.pool.fetchval("SELECT placed_at FROM orders")
    assert (sale["order_id"], sale["total_minor"], sale["to"]["postal"]) == (str(order_id), 325, "78701")
    assert sale["sold_at"].startswith(placed_at.strftime("%Y-%m-%dT%H:%M:%S"))
    assert [(part["sku"], part["net_minor"], part["taxes"][0]["amount_minor"]) for part in sale["parts"]] == [
        ("MUG", 300, 25)
    ]
    await shop.floor.pool.execute("UPDATE reactions SET position = 0 WHERE name = 'tax_reports'")
    assert await shop.told() == ["commit"], "an event that is handled again changes nothing"
    await shop.floor.verified()


async def test_a_refund_has_the_date_of_the_sale_and_its_part_of_the_taxes(shop: Desk) -> None:
    order_id = await shop.ordered()
    payment_id = await shop.paid(order_id)
    await shop.told()
    await shop.report(order_id, payment_id, "refund_success", 130)
    await shop.told()
    assert await shop.applied(CancelOrder(order_id), STAFF) == "applied"
    await shop.report(order_id, payment_id, "refund_success", 195)
    assert await shop.told() == ["commit", "refund", "refund"]
    commit, *refunds = [said for act, _, said in shop.office.heard if act != "estimate"]
    assert [said["sale"]["sold_at"] for said in refunds] == [commit["sale"]["sold_at"]] * 2
    assert [said["refund"]["number"] for said in refunds] == ["CN-000001", "CN-000002"]
    assert [said["refund"]["amount_minor"] for said in refunds] == [130, 195]
    assert sum(said["refund"]["taxes"][0]["amount_minor"] for said in refunds) == TAX_MINOR
    assert len(set(shop.office.keys)) == len(shop.office.keys)
    await shop.floor.verified()


async def test_a_confirmed_order_that_is_cancelled_before_it_was_charged_is_voided(shop: Desk) -> None:
    order_id = await shop.ordered()
    assert await shop.confirmed(order_id) == "applied"
    assert await shop.applied(CancelOrder(order_id), STAFF) == "applied"
    assert await shop.told() == ["commit", "void"]
    await shop.floor.verified()


async def test_a_provider_that_was_never_told_of_an_order_is_not_told_of_its_end(
    floor: Shopfloor, receiver: Receiver
) -> None:
    await floor.fill(MUG=5)
    before = floor.place(MUG=1)
    await floor.post(before)
    await floor.drain()
    async with desk(floor, receiver) as shop:
        assert await shop.confirmed(before.order_id) == "applied"
        unpaid = await shop.ordered()
        assert await shop.applied(CancelOrder(unpaid)) == "applied"
        quick = floor.place(MUG=1)
        assert await shop.applied(quick) == "rejected: checkout_incomplete", "nobody is asked about a quick order"
        assert await shop.told() == []
    await floor.verified()


async def test_what_is_told_of_an_order_comes_in_order_whenever_the_provider_is_back(shop: Desk) -> None:
    order_id = await shop.ordered()
    payment_id = await shop.paid(order_id)
    shop.office.answer = closes
    await shop.told()
    await shop.report(order_id, payment_id, "refund_success", 100)
    tried = await shop.told()  # as often as time allowed
    assert set(tried) == {"commit"}, "the refund waits until the sale is known"
    key = shop.office.keys[-1]
    shop.office.answer = with_status(200)
    await shop.tasks.make_due()
    assert await shop.told() == [*tried, "commit", "refund"]
    assert shop.office.keys.count(key) == len(tried) + 1
    await shop.floor.verified()


async def test_what_a_provider_does_not_take_of_an_order_is_left_to_staff(shop: Desk) -> None:
    await shop.paid(await shop.ordered())
    shop.office.answer = with_status(422)
    await shop.told()
    await shop.tasks.make_due()
    await shop.told()
    rows = await shop.floor.pool.fetch("SELECT state, last_error FROM tasks WHERE kind = 'report_taxes'")
    assert [row["state"] for row in rows] == ["dead"]
    assert "refused" in rows[0]["last_error"]


async def test_who_was_erased_is_not_named_to_the_provider(shop: Desk) -> None:
    order_id = await shop.ordered()
    payment_id = await shop.paid(order_id)
    await shop.told()
    await shop.floor.pool.execute("UPDATE checkouts SET address = NULL, tax_question = NULL")
    await shop.report(order_id, payment_id, "refund_success", 100)
    await shop.told()
    sale: dict[str, Any] = shop.office.heard[-1][2]["sale"]
    assert (sale["to"], sale["tax_id"], sale["parts"][0]["taxes"][0]["amount_minor"]) == (None, None, 25)


async def test_calls_of_tax_providers_are_timed_by_result(shop: Desk) -> None:
    def counted() -> dict[tuple[str, str], float]:
        told = [each for family in REGISTRY.collect() for each in family.samples if each.name == CALLS_COUNTED]
        return {(each.labels["operation"], each.labels["result"]): each.value for each in told}

    before = counted()
    for answer in (says([{**tax(25), "amount_minor": -25}]), closes, with_status(422)):
        shop.office.answer = answer
        await shop.asks(await shop.opened())
        assert await shop.run() >= 1  # one that failed before may be due again
    shop.office.answer = computes
    order_id = await shop.ordered()
    payment_id = await shop.paid(order_id)
    assert "commit" in await shop.told()
    await shop.report(order_id, payment_id, "refund_success", NET_MINOR + TAX_MINOR)
    assert "refund" in await shop.told()
    grown = {key: value - before.get(key, 0) for key, value in counted().items() if value != before.get(key, 0)}
    assert {key for key in grown if key[0] == "estimate"} == {
        ("estimate", result) for result in ("answered", "failed", "refused", "unknown")
    }
    assert (grown["commit", "answered"], grown["refund", "answered"]) == (1, 1)


async def test_a_shop_that_has_never_had_a_provider_looks_for_no_order_that_one_taxed(floor: Shopfloor) -> None:
    """One that has given its provider up does: it tells it of the orders of before."""
    async with tools(floor) as without, tools(floor, tax_provider="remote") as with_one:
        assert await TaxReporting(without).reactions() == ()
        (reports,) = await TaxReporting(with_one).reactions()
        await Stage(floor, reports).begin()
        assert [each.name for each in await TaxReporting(without).reactions()] == [reports.name]
