"""What customers buy as: groups, tax ids and exemptions count from the next order on, and so does whether it is the
first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from domain.accounts import CreateAccount
from domain.addresses import Address
from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.customers import SetCustomer
from domain.erasure import EraseAccount, ExpireRegistration
from domain.model import Actor, Personal, Price, Secret, Wanted
from domain.orders import CancelOrder
from domain.quote.actions.amounts import Percent
from domain.quote.places import Area
from domain.quote.rules.buyer import FirstOrder, Group
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Promotion
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.sku_prices import PutPrices
from domain.terms import PRICE_LIST, PROMOTION, TAXES, StateTerms, part_name
from tests.integration.gates import gate_before
from tests.integration.shopfloor import PRICE_MINOR, STAFF, Shopfloor

_ID = UUID(int=7)
_MUG = (Wanted("MUG", 1),)
_PARIS = Address("Ada Lovelace", "1 Rue du Port", "Paris", "FR", postal_code="75001").sealed()
_TAX_ID = "DE136695976"
_HALF = Percent(percent_bp=5_000)


class Buyer:
    """The owner of an account, who buys mugs."""

    def __init__(self, floor: Shopfloor, account_id: UUID) -> None:
        self._floor = floor
        self.account_id = account_id
        self.actor = Actor.in_role(str(account_id), "customer")
        self.identities = (f"customer:{account_id}",)

    async def checkout(self, mailbox: int = 0) -> UUID:
        """The id of an open checkout of one mug for Paris."""
        checkout_id = self._floor.new_id(mailbox)
        await self._floor.post(OpenCheckout(checkout_id, lines=_MUG, address=_PARIS), actor=self.actor)
        await self._floor.drain()
        return checkout_id

    async def complete(
        self, checkout_id: UUID, total_minor: int, *, mailbox: int = 0, allowances: Sequence[str] = ()
    ) -> tuple[UUID, UUID]:
        """The ids of the posted command and of its order."""
        order_id = self._floor.new_id(mailbox)
        command = CompleteCheckout(
            checkout_id, order_id, _MUG, total_minor, allowances=tuple(allowances), identities=self.identities
        )
        return await self._floor.post(command, actor=self.actor), order_id

    async def buy(self, total_minor: int, *, allowances: Sequence[str] = ()) -> str:
        """What becomes of an order of one mug at this total."""
        posted, _ = await self.complete(await self.checkout(), total_minor, allowances=allowances)
        await self._floor.drain()
        return (await self._floor.statuses([posted]))[0]

    async def becomes(self, *groups: str, tax_id: str | None = None, tax_exempt: bool = False) -> None:
        said = SetCustomer(self.account_id, groups, None if tax_id is None else Personal(tax_id), tax_exempt)
        await self._floor.post(said, actor=STAFF)
        await self._floor.drain()


@pytest.fixture
async def buyer(floor: Shopfloor) -> Buyer:
    await floor.fill(MUG=100)
    account_id = floor.new_id(1)
    created = CreateAccount(account_id, Personal("ada@example.com"), Personal("Ada"), "customer", Secret("x"))
    await floor.post(created, actor=STAFF)
    await floor.drain()
    return Buyer(floor, account_id)


async def _state(floor: Shopfloor, *said: StateTerms) -> None:
    posted = await floor.post_all(said, actor=STAFF)
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * len(said)


async def _taxed(floor: Shopfloor) -> None:
    rate = TaxRate("VAT", Area("FR"), "standard", 2_000)
    taxes = Taxes("DE", (rate,), TaxPolicy(included=False), union=frozenset(("DE", "FR")))
    await _state(floor, StateTerms(TAXES, taxes=taxes))


async def test_a_group_pays_by_its_own_list_and_gets_its_own_promotions(floor: Shopfloor, buyer: Buyer) -> None:
    vip = frozenset(("vip",))
    half = Promotion(_ID, 0, "Half", _HALF, (Group(vip),))
    await _state(
        floor,
        StateTerms(part_name(PRICE_LIST, _ID), price_list=PriceList(_ID, "Members", groups=vip)),
        StateTerms(part_name(PROMOTION, _ID), promotion=half),
    )
    put = PutPrices(floor.listing("MUG").product_id, "MUG", _ID, (Price("GBP", 80, _ID),))
    await floor.post(put, actor=STAFF)
    await floor.drain()
    assert await buyer.buy(PRICE_MINOR) == "applied"
    await buyer.becomes("other", "vip")
    assert await buyer.buy(40) == "applied"
    await buyer.becomes()
    assert await buyer.buy(40) == "rejected: checkout_changed"
    await floor.verified()


async def test_a_business_in_the_union_pays_no_tax_and_an_exempt_customer_none_at_all(
    floor: Shopfloor, buyer: Buyer
) -> None:
    await _taxed(floor)
    assert await buyer.buy(120) == "applied"
    await buyer.becomes(tax_id=_TAX_ID)
    assert await buyer.buy(100) == "applied"
    await buyer.becomes(tax_exempt=True)
    assert await buyer.buy(100) == "applied"
    reasons = await floor.pool.fetch(
        "SELECT data->'quote'->'taxes'->0->>'reason' AS reason FROM events"
        " WHERE type = 'checkout.completed' ORDER BY seq"
    )
    assert [row["reason"] for row in reasons] == ["standard", "reverse_charge", "exempt"]
    await floor.verified()


@pytest.mark.usefixtures("both_ways")
async def test_a_customer_changed_between_load_and_commit_is_taxed_by_the_new_state(
    floor: Shopfloor, buyer: Buyer
) -> None:
    """Decided without tax just as the exemption ends: without the guard, the order would be placed without tax."""
    await _taxed(floor)
    await buyer.becomes(tax_exempt=True)
    checkout_id = await buyer.checkout(mailbox=0)
    posted, _ = await buyer.complete(checkout_id, 100)
    await floor.post(SetCustomer(buyer.account_id), actor=STAFF)
    async with gate_before(floor.database_url, "event_counter", holds=1) as gate:
        selling = asyncio.create_task(floor.new_drainer().drain([0]))
        await gate.wait_for(1)
        await floor.drain(1)
        await gate.open()
        await selling
    assert await floor.statuses([posted]) == ["rejected: checkout_changed"]
    await floor.verified()


async def test_cancelled_orders_do_not_count_as_a_first_order(floor: Shopfloor, buyer: Buyer) -> None:
    welcome = Promotion(_ID, 0, "Welcome", _HALF, (FirstOrder(),))
    await _state(floor, StateTerms(part_name(PROMOTION, _ID), promotion=welcome))
    key = f"promotion:{_ID}:customer:{buyer.account_id}"
    posted, order_id = await buyer.complete(await buyer.checkout(), 50, allowances=[key])
    await floor.drain()
    assert await floor.statuses([posted]) == ["applied"]
    assert await buyer.buy(50, allowances=[key]) == "rejected: checkout_changed"
    await floor.post(CancelOrder(order_id), actor=STAFF)
    await floor.drain()
    assert await buyer.buy(50, allowances=[key]) == "applied"
    assert await buyer.buy(100) == "applied"
    await floor.verified()


async def test_of_two_first_orders_at_once_one_is_the_first(floor: Shopfloor, buyer: Buyer) -> None:
    """Each looks for earlier orders and finds none; what the promotion takes of the buyer's share decides."""
    welcome = Promotion(_ID, 0, "Welcome", _HALF, (FirstOrder(),))
    await _state(floor, StateTerms(part_name(PROMOTION, _ID), promotion=welcome))
    keys = [f"promotion:{_ID}:customer:{buyer.account_id}"]
    opened = [(await buyer.checkout(mailbox), mailbox) for mailbox in (0, 2)]
    posted = [(await buyer.complete(each, 50, mailbox=mailbox, allowances=keys))[0] for each, mailbox in opened]
    await floor.drain()
    assert sorted(await floor.statuses(posted)) == ["applied", "rejected: checkout_changed"]
    await floor.verified()


async def test_a_tax_id_is_in_no_event_and_goes_with_the_account(floor: Shopfloor, buyer: Buyer) -> None:
    await buyer.becomes("vip", tax_id=_TAX_ID)
    assert await floor.pool.fetchval("SELECT tax_id FROM customers") == _TAX_ID
    await floor.verified()
    await floor.post(EraseAccount(buyer.account_id), actor=STAFF)
    await floor.drain()
    row = await floor.pool.fetchrow("SELECT groups, tax_id FROM customers")
    assert (row["groups"], row["tax_id"]) == ([], None)
    said = await floor.pool.fetchval(
        "SELECT (SELECT string_agg(data::text, ' ') FROM events) || string_agg(encode(request, 'escape'), ' ')"
        " FROM commands"
    )
    assert _TAX_ID not in said
    assert await floor.pool.fetchval("SELECT count(*) FROM events WHERE type = 'customer.set'") == 2
    await floor.verified()


async def test_a_tax_id_goes_with_a_registration_that_was_never_confirmed(floor: Shopfloor) -> None:
    account_id = floor.new_id(1)
    named = Personal("eve@example.com"), Personal("Eve")
    await floor.post(CreateAccount(account_id, *named, "customer", Secret("x"), confirmed=False), actor=STAFF)
    await floor.post(SetCustomer(account_id, ("vip",), Personal(_TAX_ID)), actor=STAFF)
    await floor.post(ExpireRegistration(account_id, 0), actor=STAFF)
    await floor.drain()
    row = await floor.pool.fetchrow("SELECT groups, tax_id FROM customers")
    assert (row["groups"], row["tax_id"]) == ([], None)
    await floor.verified()


async def test_a_completion_for_another_customer_than_the_owner_is_refused(floor: Shopfloor, buyer: Buyer) -> None:
    """The command names a customer who does not own the checkout: the owner's groups and tax status were not loaded."""
    checkout_id = await buyer.checkout()
    command = CompleteCheckout(checkout_id, floor.new_id(0), _MUG, PRICE_MINOR)
    posted = await floor.post(command, actor=buyer.actor)
    await floor.drain()
    assert await floor.statuses([posted]) == ["rejected: checkout_changed"]
    await floor.verified()
