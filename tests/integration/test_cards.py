"""Gift cards and store credit pay for orders: a card's money is held once, charged once and given back once, even
under concurrent requests."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec
import pytest

from domain.cards import card_key, store_credit_id
from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.gift_cards import DisableGiftCard, IssueGiftCard
from domain.ids import new_id, slot_of_id
from domain.model import Actor, Secret, Wanted
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder
from domain.payments.commands import CapturePayment, CreatePayment, RefundPayment, SettlePayment, VoidPayment
from domain.payments.payment import Capabilities
from domain.payments.refunding import RefundOrder, RefundRule
from domain.store_credit import ChangeStoreCredit
from tests.integration.drainers import drainer
from tests.integration.gates import gate_before
from tests.integration.shopfloor import ANN, PRICE_MINOR, STAFF, Shopfloor

_SOON: Final = timedelta(days=1)


class Wallet:
    """A shop floor where checkouts are paid for with cards."""

    def __init__(self, floor: Shopfloor) -> None:
        self.floor = floor

    async def applied(self, *commands: object, actor: Actor = STAFF) -> list[str]:
        posted = [await self.floor.post(command, actor=actor) for command in commands]  # type: ignore[arg-type]
        await self.floor.drain()
        return await self.floor.statuses(posted)

    async def card(self, amount_minor: int, *, expires_at: datetime | None = None, currency: str = "GBP") -> UUID:
        card_id = self.floor.new_id(3)
        issue = IssueGiftCard(card_id, Secret(card_id.hex), "0WZ8", currency, amount_minor, expires_at)
        assert await self.applied(issue) == ["applied"]
        return card_id

    async def credit(self, amount_minor: int, customer_id: str = "ann") -> UUID:
        assert await self.applied(ChangeStoreCredit(customer_id, "GBP", amount_minor, "Sorry")) == ["applied"]
        return store_credit_id(customer_id, "GBP")

    async def opened(self, *cards: UUID, mailbox: int = 0, quantity: int = 1, store_credit: bool = False) -> UUID:
        checkout_id = self.floor.new_id(mailbox)
        lines = (Wanted("MUG", quantity),)
        await self.floor.post(OpenCheckout(checkout_id, lines=lines, gift_cards=cards, store_credit=store_credit))
        return checkout_id

    def completion(
        self,
        checkout_id: UUID,
        *cards: UUID,
        due_minor: int | None = 0,
        quantity: int = 1,
        store_credit: UUID | None = None,
    ) -> CompleteCheckout:
        order_id = new_id(checkout_id.int >> 80, slot_of_id(checkout_id), (checkout_id.int & 0xFFFFFFFF) << 20)
        return CompleteCheckout(
            checkout_id,
            order_id,
            (Wanted("MUG", quantity),),
            quantity * PRICE_MINOR,
            expected_due_minor=due_minor,
            gift_cards=cards,
            store_credit=store_credit,
        )

    async def ordered(self, *cards: UUID, due_minor: int = 0, quantity: int = 1) -> UUID:
        """An order that these cards pay for."""
        completion = self.completion(
            await self.opened(*cards, quantity=quantity), *cards, due_minor=due_minor, quantity=quantity
        )
        assert await self.applied(completion, actor=ANN) == ["applied"]
        return completion.order_id

    async def on(self, card_id: UUID) -> tuple[int, int]:
        """What is posted and pending on a card."""
        query = "SELECT posted, pending FROM card_balances WHERE key = $1"
        return tuple(await self.floor.pool.fetchrow(query, card_key(card_id)))

    async def payments(self, order_id: UUID) -> list[tuple[UUID, str, str]]:
        rows = await self.floor.pool.fetch(
            "SELECT id, provider, status FROM payments WHERE order_id = $1 ORDER BY provider", order_id
        )
        return [(UUID(int=row["id"].int), row["provider"], row["status"]) for row in rows]

    async def payment(self, order_id: UUID) -> UUID:
        ((payment_id, _, _),) = await self.payments(order_id)
        return payment_id


@pytest.fixture
async def wallet(floor: Shopfloor) -> Wallet:
    await floor.fill(MUG=1_000)
    return Wallet(floor)


async def test_a_card_that_pays_all_confirms_the_order_and_is_charged(wallet: Wallet) -> None:
    card = await wallet.card(250)
    order_id = await wallet.ordered(card, quantity=2)
    assert await wallet.floor.order_status(order_id) == "confirmed"
    assert await wallet.on(card) == (50, 0)
    assert [payment[1:] for payment in await wallet.payments(order_id)] == [("gift_card", "charged")]
    await wallet.floor.verified()


async def test_a_part_is_held_until_the_rest_is_paid(wallet: Wallet) -> None:
    card = await wallet.card(30)
    order_id = await wallet.ordered(card, due_minor=70)
    assert (await wallet.on(card), await wallet.floor.order_status(order_id)) == ((30, 30), "placed")
    payment_id = new_id(order_id.int >> 80, slot_of_id(order_id), 77)
    rest = CreatePayment(order_id, payment_id, "invoice", Capabilities(staff_report=True))
    assert await wallet.applied(rest) == ["applied"]
    assert await wallet.floor.pool.fetchval("SELECT amount_minor FROM payments WHERE id = $1", payment_id) == 70
    assert await wallet.applied(ConfirmOrder(order_id)) == ["applied"]
    assert await wallet.on(card) == (0, 0)
    await wallet.floor.verified()


async def test_cards_pay_and_are_refunded_in_their_order_and_store_credit_after_them(wallet: Wallet) -> None:
    first, second, credit = await wallet.card(60), await wallet.card(60), await wallet.credit(200)
    checkout_id = await wallet.opened(first, second, quantity=2, store_credit=True)
    completion = wallet.completion(checkout_id, first, second, quantity=2, store_credit=credit)
    assert await wallet.applied(completion, actor=ANN) == ["applied"]
    assert [await wallet.on(each) for each in (first, second, credit)] == [(0, 0), (0, 0), (120, 0)]
    refund = RefundOrder(completion.order_id, wallet.floor.new_id(0), 150, "Broken")
    assert await wallet.applied(refund) == ["applied"]
    assert [await wallet.on(each) for each in (first, second, credit)] == [(60, 0), (60, 0), (150, 0)]
    await wallet.floor.verified()


async def test_a_completion_without_an_amount_due_is_refused_if_a_card_would_pay(wallet: Wallet) -> None:
    card = await wallet.card(50)
    silent = wallet.completion(await wallet.opened(card), card, due_minor=None)
    assert await wallet.applied(silent, actor=ANN) == ["rejected: checkout_changed"]
    assert await wallet.on(card) == (50, 0)
    await wallet.floor.verified()


@pytest.mark.usefixtures("both_ways")
async def test_one_card_in_two_tabs_pays_once(wallet: Wallet) -> None:
    """Both batches see the whole card before either has written."""
    card = await wallet.card(100)
    opened = [await wallet.opened(card, mailbox=mailbox) for mailbox in (0, 1)]
    await wallet.floor.drain()
    posted = await wallet.floor.post_all([wallet.completion(each, card) for each in opened])
    async with gate_before(wallet.floor.database_url, "event_counter", holds=2) as gate:
        drains = [asyncio.create_task(wallet.floor.new_drainer().drain([mailbox])) for mailbox in (0, 1)]
        await gate.wait_for(2)
        await gate.open()
        await asyncio.gather(*drains)
    assert sorted(await wallet.floor.statuses(posted)) == ["applied", "rejected: checkout_changed"]
    assert await wallet.on(card) == (0, 0)
    await wallet.floor.verified()


@pytest.mark.parametrize("tabs", [100, pytest.param(2_000, marks=pytest.mark.campaign)])
async def test_fifty_pounds_raced_by_many_are_spent_to_the_penny(wallet: Wallet, tabs: int) -> None:
    card = await wallet.card(50 * PRICE_MINOR)
    opened = [await wallet.opened(card, mailbox=place % 4) for place in range(tabs)]
    await wallet.floor.drain()
    posted = await wallet.floor.post_all([wallet.completion(each, card) for each in opened])
    await asyncio.gather(*(drainer(wallet.floor, 8).drain(range(4)) for _ in range(3)))
    await wallet.floor.drain()
    assert Counter(await wallet.floor.statuses(posted)) == {"applied": 50, "rejected: checkout_changed": tabs - 50}
    assert await wallet.on(card) == (0, 0)
    await wallet.floor.verified()


@pytest.mark.parametrize("ends", [CancelOrder, ExpireOrder])
async def test_a_hold_is_given_back_with_its_order(wallet: Wallet, ends: type[CancelOrder | ExpireOrder]) -> None:
    card = await wallet.card(30)
    order_id = await wallet.ordered(card, due_minor=70)
    assert await wallet.applied(ends(order_id)) == ["applied"]
    assert await wallet.on(card) == (30, 0)
    assert [payment[1:] for payment in await wallet.payments(order_id)] == [("gift_card", "cancelled")]
    assert await wallet.ordered(card, due_minor=70) != order_id
    await wallet.floor.verified()


async def test_what_was_charged_is_given_back_with_a_cancelled_order_less_what_went_back_before(wallet: Wallet) -> None:
    card = await wallet.card(100)
    order_id = await wallet.ordered(card)
    refund = RefundPayment(order_id, await wallet.payment(order_id), wallet.floor.new_id(0), 40, "Broken")
    assert await wallet.applied(refund) == ["applied"]
    assert await wallet.on(card) == (40, 0)
    assert await wallet.applied(CancelOrder(order_id)) == ["applied"]
    assert await wallet.on(card) == (100, 0)
    await wallet.floor.verified()


async def test_two_refunds_that_together_exceed_it_are_one(wallet: Wallet) -> None:
    card = await wallet.card(100)
    order_id = await wallet.ordered(card)
    payment_id = await wallet.payment(order_id)
    both = [RefundPayment(order_id, payment_id, wallet.floor.new_id(0), 60, "Broken") for _ in range(2)]
    assert await wallet.applied(*both) == ["applied", "rejected: refund_exceeds_charged"]
    assert await wallet.on(card) == (60, 0)
    await wallet.floor.verified()


async def test_staff_capture_a_part_and_let_go_of_the_rest(wallet: Wallet) -> None:
    card = await wallet.card(30)
    order_id = await wallet.ordered(card, due_minor=70)
    payment_id = await wallet.payment(order_id)
    commands = [
        CapturePayment(order_id, payment_id, wallet.floor.new_id(0), 20),
        CapturePayment(order_id, payment_id, wallet.floor.new_id(0), 20),
        VoidPayment(order_id, payment_id, wallet.floor.new_id(0)),
    ]
    assert await wallet.applied(*commands) == ["applied", "rejected: capture_exceeds_authorized", "applied"]
    assert await wallet.on(card) == (10, 0)
    assert not await wallet.floor.pool.fetchval("SELECT count(*) FROM tasks")
    await wallet.floor.verified()


@pytest.mark.usefixtures("both_ways")
async def test_a_card_that_is_disabled_between_quote_and_completion_pays_nothing(wallet: Wallet) -> None:
    """The batch of the completion sees the card active; it is disabled before that batch has written."""
    card = await wallet.card(100)
    checkout_id = await wallet.opened(card, mailbox=0)
    await wallet.floor.drain()
    completed = await wallet.floor.post(wallet.completion(checkout_id, card))
    async with gate_before(wallet.floor.database_url, "event_counter", holds=1) as gate:
        completing = asyncio.create_task(wallet.floor.new_drainer().drain([0]))
        await gate.wait_for(1)
        await wallet.floor.post(DisableGiftCard(card), actor=STAFF)
        await wallet.floor.new_drainer().drain([3])
        await gate.open()
        await completing
    assert await wallet.floor.statuses([completed]) == ["rejected: checkout_changed"]
    assert await wallet.on(card) == (100, 0)
    assert await wallet.applied(DisableGiftCard(card), DisableGiftCard(wallet.floor.new_id(3))) == [
        "applied",
        "rejected: gift_card_not_found",
    ]
    await wallet.floor.verified()


async def test_what_an_order_holds_of_a_disabled_card_it_keeps(wallet: Wallet) -> None:
    card = await wallet.card(30)
    order_id = await wallet.ordered(card, due_minor=70)
    assert await wallet.applied(DisableGiftCard(card), ConfirmOrder(order_id)) == ["applied"] * 2
    assert await wallet.on(card) == (0, 0)
    await wallet.floor.verified()


async def test_expired_cards_and_those_of_another_currency_pay_nothing(wallet: Wallet) -> None:
    late, foreign = await wallet.card(100, expires_at=datetime.now(UTC) - _SOON), await wallet.card(100, currency="EUR")
    good = await wallet.card(100, expires_at=datetime.now(UTC) + _SOON)
    completions = [wallet.completion(await wallet.opened(card), card) for card in (late, foreign, good)]
    assert await wallet.applied(*completions, actor=ANN) == ["rejected: checkout_changed"] * 2 + ["applied"]
    assert [await wallet.on(card) for card in (late, foreign, good)] == [(100, 0), (100, 0), (0, 0)]
    await wallet.floor.verified()


async def test_cards_that_the_buyer_did_not_see_in_the_checkout_stop_its_completion(wallet: Wallet) -> None:
    """Another tab has added or removed one."""
    card = await wallet.card(100)
    added = wallet.completion(await wallet.opened(card), due_minor=None)
    removed = wallet.completion(await wallet.opened(), card, due_minor=None)
    assert await wallet.applied(added, removed, actor=ANN) == ["rejected: checkout_changed"] * 2
    assert await wallet.on(card) == (100, 0)
    await wallet.floor.verified()


async def test_a_payment_that_begins_with_the_completion_is_of_what_cards_leave(wallet: Wallet) -> None:
    card = await wallet.card(30)
    completion = wallet.completion(await wallet.opened(card), card, due_minor=70)
    order_id = completion.order_id
    payment_id = new_id(order_id.int >> 80, slot_of_id(order_id), 77)
    paying = CreatePayment(order_id, payment_id, "invoice", Capabilities(staff_report=True))
    assert await wallet.applied(msgspec.structs.replace(completion, payment=paying), actor=ANN) == ["applied"]
    amounts = await wallet.floor.pool.fetch("SELECT provider, amount_minor FROM payments ORDER BY provider")
    assert [tuple(row) for row in amounts] == [("gift_card", 30), ("invoice", 70)]
    await wallet.floor.verified()


async def test_store_credit_is_never_taken_back_twice_and_nobody_else_s_pays(wallet: Wallet) -> None:
    credit = await wallet.credit(100)
    takes = [ChangeStoreCredit("ann", "GBP", -60, "Mistake") for _ in range(2)]
    assert await wallet.applied(*takes) == ["applied", "rejected: store_credit_too_low"]
    foreign = await wallet.credit(500, "bob")
    stranger = wallet.completion(await wallet.opened(store_credit=True), store_credit=foreign)
    assert await wallet.applied(stranger, actor=ANN) == ["rejected: checkout_changed"]
    assert [await wallet.on(each) for each in (credit, foreign)] == [(40, 0), (500, 0)]
    await wallet.floor.verified()


async def test_a_card_that_is_issued_twice_is_worth_it_once(wallet: Wallet) -> None:
    card = await wallet.card(100)
    again = IssueGiftCard(card, Secret(card.hex), "0WZ8", "GBP", 100)
    assert await wallet.applied(again) == ["applied"]
    assert await wallet.on(card) == (100, 0)
    logged = await wallet.floor.pool.fetchval("SELECT string_agg(data::text, ' ') FROM events")
    assert card.hex not in logged
    await wallet.floor.verified()


@pytest.mark.parametrize(("rule", "back"), [("cards_first", 30), ("cards_last", 0)])
async def test_an_order_is_refunded_by_a_named_rule_and_never_more_than_was_paid(
    wallet: Wallet, rule: RefundRule, back: int
) -> None:
    """30 of 100 are paid by card, 70 by invoice; 60 go back."""
    card = await wallet.card(30)
    order_id = await wallet.ordered(card, due_minor=70)
    payment_id = new_id(order_id.int >> 80, slot_of_id(order_id), 77)
    paid = [
        CreatePayment(order_id, payment_id, "invoice", Capabilities(staff_report=True)),
        SettlePayment(order_id, payment_id, str(payment_id), True),
    ]
    assert await wallet.applied(*paid) == ["applied"] * 2
    assert (await wallet.on(card), await wallet.floor.order_status(order_id)) == ((0, 0), "confirmed")
    refunds = [RefundOrder(order_id, wallet.floor.new_id(0), 60, "Broken", rule) for _ in range(2)]
    assert await wallet.applied(*refunds) == ["applied", "rejected: refund_exceeds_paid"]
    pending = await wallet.floor.pool.fetchval("SELECT refund_pending_minor FROM payments WHERE id = $1", payment_id)
    on_card, _ = await wallet.on(card)
    assert (on_card, pending) == (back, 60 - back)
    await wallet.floor.verified()


async def test_what_a_provider_does_not_give_back_in_parts_the_order_does_not_either(wallet: Wallet) -> None:
    """Then nothing goes back, of cards neither."""
    card = await wallet.card(30)
    order_id = await wallet.ordered(card, due_minor=70)
    payment_id = new_id(order_id.int >> 80, slot_of_id(order_id), 77)
    whole = Capabilities(staff_report=True, partial_refund=False)
    commands = [
        CreatePayment(order_id, payment_id, "invoice", whole),
        SettlePayment(order_id, payment_id, str(payment_id), True),
        RefundOrder(order_id, wallet.floor.new_id(0), 60, "Broken"),
        RefundOrder(order_id, wallet.floor.new_id(0), 100, "Broken"),
    ]
    assert await wallet.applied(*commands) == ["applied", "applied", "rejected: partial_refund_unsupported", "applied"]
    assert await wallet.on(card) == (30, 0)
    await wallet.floor.verified()
