"""What an erasure reaches besides the account: orders in progress, guests' orders, unreadable dead letters; and what is
deleted automatically when its retention ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
import pytest_asyncio

from domain.accounts import CreateAccount
from domain.addresses import Address
from domain.checkout_rates import RATES_PRINCIPAL, AskRates
from domain.checkout_taxes import TAXES_PRINCIPAL, AskTaxes
from domain.checkouts import OpenCheckout
from domain.erasure import EraseAccount, EraseOrderAddress
from domain.model import Actor, Command, Personal, Secret, Wanted
from domain.orders import PlaceOrder
from domain.quote.basket import RateQuestion, TaxQuestion
from domain.quote.places import Place
from domain.registration import ConfirmAddress, RegisterAgain
from runtime.engine import create_engine
from runtime.mailboxes.sender import Sender
from runtime.personal_data import exported
from runtime.settings import Settings
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.tidying import Tidier

ADDRESS: Final = "ada@example.com"
GUEST: Final = Actor.in_role("guest:1", "customer")
SECRET: Final = Secret("a hash")
_HOME: Final = Address("Ada Lovelace", "1 Harbour Street", "London", "GB")
_QUESTION: Final = TaxQuestion("remote", "GBP", Place("GB", postal="SW1A1AA"), True, None, False, ())
_PARCEL: Final = RateQuestion("remote", "GBP", Place("US", "TX", "78701"), (), ())


async def _account(floor: Shopfloor, mailbox: int = 0, email: str = ADDRESS, *, confirmed: bool = True) -> UUID:
    account_id = floor.new_id(mailbox)
    await _apply(
        floor, CreateAccount(account_id, Personal(email), Personal("Ada"), "customer", SECRET, confirmed=confirmed)
    )
    return account_id


async def _apply(floor: Shopfloor, *commands: Command, actor: Actor | None = None) -> None:
    posted = await floor.post_all(commands, **({} if actor is None else {"actor": actor}))
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * len(posted)


def _order(floor: Shopfloor, customer_id: str, mailbox: int, email: str = ADDRESS) -> PlaceOrder:
    return PlaceOrder(floor.new_id(mailbox), customer_id, (Wanted("MUG", 1),), Personal(email))


async def _emails(floor: Shopfloor) -> dict[UUID, str | None]:
    return {row["id"]: row["email"] for row in await floor.pool.fetch("SELECT id, email FROM orders")}


@pytest.mark.parametrize("mailbox", [0, 1], ids=["in one batch", "in another mailbox"])
async def test_an_order_in_progress_while_its_customer_is_erased_brings_nothing_back(
    floor: Shopfloor, mailbox: int
) -> None:
    await floor.fill(MUG=100)
    account_id = await _account(floor)
    erase = await floor.post(EraseAccount(account_id))
    late = _order(floor, str(account_id), mailbox)
    someone = _order(floor, str(floor.new_id()), mailbox, "someone@example.com")
    guest = _order(floor, GUEST.principal, mailbox, "guest@example.com")
    placed = await floor.post_all([late, someone, guest])
    await floor.drain(0)
    await floor.drain(mailbox)
    assert await floor.statuses([erase, *placed]) == ["applied"] * 4
    assert await _emails(floor) == {
        late.order_id: None,
        someone.order_id: "someone@example.com",
        guest.order_id: "guest@example.com",
    }
    await floor.verified()


async def test_all_orders_with_the_address_lose_it_and_no_others_do(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    account_id = await _account(floor)
    own = _order(floor, str(account_id), 1, "ada.at.work@example.com")
    guest = _order(floor, GUEST.principal, 2)
    other = _order(floor, "guest:2", 3, "bob@example.com")
    await _apply(floor, own, guest, other)
    await _apply(floor, EraseAccount(account_id))
    assert await _emails(floor) == {own.order_id: None, guest.order_id: None, other.order_id: "bob@example.com"}
    await floor.verified()


async def test_an_order_in_the_same_batch_loses_the_address_too(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    account_id = await _account(floor)
    guest = _order(floor, GUEST.principal, 0)
    await _apply(floor, guest, EraseAccount(account_id))
    assert await _emails(floor) == {guest.order_id: None}
    await floor.verified()


async def test_a_guests_address_is_erased_by_itself(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    mine, other = _order(floor, GUEST.principal, 1), _order(floor, "guest:2", 1)
    await _apply(floor, mine, other)
    stranger = await floor.post(EraseOrderAddress(other.order_id), actor=GUEST)
    await floor.drain()
    assert await floor.statuses([stranger]) == ["rejected: order_not_found"]
    for _ in range(2):  # asking again succeeds and changes nothing
        await _apply(floor, EraseOrderAddress(mine.order_id), actor=GUEST)
    assert await _emails(floor) == {mine.order_id: None, other.order_id: ADDRESS}
    await floor.verified()


async def test_a_guest_is_erased_from_all_its_orders_whatever_mailbox_they_are_in(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    mine = [_order(floor, GUEST.principal, mailbox, f"{mailbox}@example.com") for mailbox in (1, 1, 2)]
    other, late = _order(floor, "guest:2", 1), _order(floor, GUEST.principal, 1)
    await _apply(floor, *mine, other)
    await _apply(floor, late, EraseOrderAddress(mine[0].order_id), actor=GUEST)
    assert await _emails(floor) == {**dict.fromkeys([each.order_id for each in (*mine, late)]), other.order_id: ADDRESS}
    await floor.verified()


async def test_who_typed_the_address_of_somebody_who_is_erased_keeps_what_is_their_own(floor: Shopfloor) -> None:
    """What somebody else has set in a checkout is theirs; what a guest has set with the address is the person's."""
    account_id = await _account(floor)
    bobs, guests, anns = floor.new_id(1), floor.new_id(2), floor.new_id(3)
    set_by = {"bob": bobs, GUEST.principal: guests, str(account_id): anns}
    for principal, checkout_id in set_by.items():
        opened = OpenCheckout(checkout_id, email=Personal(ADDRESS), address=_HOME.sealed(), note=Personal("Ring."))
        await _apply(floor, opened, actor=Actor.in_role(principal, "customer"))
        asks = AskTaxes(checkout_id, 1, _QUESTION.sealed()), AskRates(checkout_id, 1, _PARCEL.sealed())
        await _apply(floor, *asks, actor=STAFF)
    known = await _export(floor, account_id)
    assert {UUID(checkout["id"]) for checkout in known["checkouts"]} == {guests, anns}
    assert all(checkout["rate_question"]["to"]["postal"] == "78701" for checkout in known["checkouts"])
    await _apply(floor, EraseAccount(account_id))
    rows = await floor.pool.fetch("SELECT id, email, address, note, tax_question, rate_question FROM checkouts")
    kept = {row["id"]: tuple(row)[1:] for row in rows}
    bobs_own = (None, _HOME.sealed().value, "Ring.", _QUESTION.sealed().value, _PARCEL.sealed().value)
    assert kept == {bobs: bobs_own, guests: (None,) * 5, anns: (None,) * 5}
    await floor.verified()


async def test_the_export_has_no_orders_of_other_customers_whatever_address_they_typed(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    account_id = await _account(floor)
    own, guest = _order(floor, str(account_id), 1), _order(floor, GUEST.principal, 2)
    bobs = _order(floor, "bob", 3)
    await _apply(floor, own, guest, bobs)
    known = await _export(floor, account_id)
    assert [UUID(order["id"]) for order in known["orders"]] == [own.order_id, guest.order_id]
    await _apply(floor, EraseAccount(account_id))
    assert await _emails(floor) == dict.fromkeys([own.order_id, guest.order_id, bobs.order_id])
    await floor.verified()


async def _export(floor: Shopfloor, account_id: UUID) -> Any:
    engine = create_engine(floor.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            found = await exported(connection, account_id)
    finally:
        await engine.dispose()
    assert found is not None
    return msgspec.json.decode(found)


async def _dead_letter(floor: Shopfloor, principal: str) -> UUID:
    """A command of an unknown kind, with arbitrary data in it."""
    explode = msgspec.Raw(msgspec.msgpack.encode(["Explode", f"{principal} lives here"]))
    envelope = floor.envelope(explode, actor=Actor.in_role(principal, "customer"))
    await floor.put(0, floor.entry(envelope))
    await floor.drain(0)
    return envelope.command_id


async def _kept(floor: Shopfloor) -> set[UUID]:
    """The dead letters of which any content is kept."""
    rows = await floor.pool.fetch("SELECT command_id, entry, lost FROM dead_letters")
    for row in rows:
        assert (row["entry"] == b"") == (row["lost"] == ["*"])
    return {row["command_id"] for row in rows if row["entry"]}


async def test_an_erasure_reaches_dead_letters(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    account_id = await _account(floor)
    guest = _order(floor, GUEST.principal, 1)
    await _apply(floor, guest)
    of_account, of_guest, of_other, of_bob = [
        await _dead_letter(floor, actor) for actor in (str(account_id), GUEST.principal, "guest:2", "bob")
    ]
    bob = _order(floor, "bob", 1)  # who used her address; his own data stays
    by_itself = _order(floor, "guest:2", 1, "bob@example.com")
    await _apply(floor, bob, by_itself)
    # What was asked about taxes and rates says where somebody lives, and not who.
    asked = {await _dead_letter(floor, principal) for principal in (TAXES_PRINCIPAL, RATES_PRINCIPAL)}
    assert await _kept(floor) == {of_account, of_guest, of_other, of_bob, *asked}
    await _apply(floor, EraseAccount(account_id))
    assert await _kept(floor) == {of_other, of_bob}
    await _apply(floor, EraseOrderAddress(by_itself.order_id), actor=Actor.in_role("guest:2", "customer"))
    assert await _kept(floor) == {of_bob}
    await floor.verified()


@pytest_asyncio.fixture
async def tidier(floor: Shopfloor) -> AsyncIterator[Tidier]:
    config = Settings(
        database_url=floor.database_url,
        redis_url=floor.redis_url,
        mailbox_count=floor.mailbox_count,
        dead_letter_keep_days=30,
        registration_keep_days=7,
    )
    async with Sender(config) as sender:
        yield Tidier(config, floor.pool, floor.pool, sender)


async def _age(floor: Shopfloor, table: str, column: str, days: float, key: str, value: Any) -> None:
    await floor.pool.execute(
        f"UPDATE {table} SET {column} = {column} - make_interval(secs => $1) WHERE {key} = $2", days * 86_400, value
    )


async def test_an_unreadable_letter_is_kept_for_a_while(floor: Shopfloor, tidier: Tidier) -> None:
    await floor.fill(MUG=100)
    old, new = await _dead_letter(floor, "ann"), await _dead_letter(floor, "ann")
    twice = PlaceOrder(floor.new_id(0), "ann", (Wanted("MUG", 1), Wanted("MUG", 1)), Personal(ADDRESS))
    understood = await floor.post(twice)  # its rule raises; it holds no personal data
    await floor.drain(0)
    for each in (old, understood):
        await _age(floor, "dead_letters", "failed_at", 30.01, "command_id", each)
    await _age(floor, "dead_letters", "failed_at", 29.99, "command_id", new)
    await tidier.tidy()
    rows = {row["command_id"]: row for row in await floor.pool.fetch("SELECT * FROM dead_letters")}
    assert (rows[old]["entry"], rows[old]["lost"], rows[old]["code"]) == (b"", ["*"], "unreadable_command")
    assert rows[new]["entry"]
    assert rows[understood]["entry"]
    await floor.verified()


async def test_an_unconfirmed_registration_is_deleted_and_frees_the_address(floor: Shopfloor, tidier: Tidier) -> None:
    await floor.fill(MUG=100)
    names = ("old", "young", "confirmed")
    ids = {
        name: await _account(floor, place % 4, f"{name}@example.com", confirmed=name == "confirmed")
        for place, name in enumerate(names)
    }
    # A guest's order with that address does not belong to whoever registered it.
    guest = _order(floor, GUEST.principal, 1, "old@example.com")
    await _apply(floor, guest)
    ages = {"old": 7.01, "young": 6.99, "confirmed": 99}
    for name, days in ages.items():
        await _age(floor, "accounts", "updated_at", days, "id", ids[name])
    await tidier.tidy()
    await floor.drain()
    for name in ("young", "confirmed"):  # else `verify` would notice the manipulation
        await _age(floor, "accounts", "updated_at", -ages[name], "id", ids[name])
    erased = await floor.pool.fetch("SELECT id FROM accounts WHERE erased")
    assert [row["id"] for row in erased] == [ids["old"]]
    assert await _emails(floor) == {guest.order_id: "old@example.com"}
    await floor.verified()
    await _account(floor, 2, "old@example.com", confirmed=False)
    assert await floor.pool.fetchval("SELECT count(*) FROM events WHERE type = 'account.registration_expired'") == 1


async def test_a_registration_confirmed_or_repeated_in_time_stays(floor: Shopfloor, tidier: Tidier) -> None:
    confirmed, repeated = [await _account(floor, m, f"{m}@example.com", confirmed=False) for m in (0, 1)]
    for each in (confirmed, repeated):
        await _age(floor, "accounts", "updated_at", 9, "id", each)
    await floor.post(ConfirmAddress(confirmed, 0))
    await floor.post(RegisterAgain(repeated, Personal("Eve"), SECRET))
    await tidier.tidy()
    await floor.drain()
    assert await floor.pool.fetchval("SELECT count(*) FROM accounts WHERE erased") == 0
    settled = [each.code for each in (await floor.settled()).values() if each.status == "rejected"]
    assert settled == ["account_changed"] * 2


async def test_no_registration_is_deleted_while_its_link_is_valid(floor: Shopfloor) -> None:
    config = Settings(
        database_url=floor.database_url,
        redis_url=floor.redis_url,
        mailbox_count=floor.mailbox_count,
        registration_keep_days=1,
        confirm_link_seconds=3 * 86_400,
    )
    account_id = await _account(floor, confirmed=False)
    await _age(floor, "accounts", "updated_at", 2.99, "id", account_id)
    async with Sender(config) as sender:
        await Tidier(config, floor.pool, floor.pool, sender).tidy()
        await floor.drain()
        assert await floor.pool.fetchval("SELECT count(*) FROM accounts WHERE erased") == 0
        await _age(floor, "accounts", "updated_at", 0.02, "id", account_id)
        await Tidier(config, floor.pool, floor.pool, sender).tidy()
        await floor.drain()
        assert await floor.pool.fetchval("SELECT count(*) FROM accounts WHERE erased") == 1
