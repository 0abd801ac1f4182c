"""Checkouts end: nobody touched them for long, or their owner is erased; nothing that was known of anybody stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio

from domain.accounts import CreateAccount
from domain.addresses import Address
from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.erasure import EraseAccount, EraseOrderAddress
from domain.model import Actor, Personal, Secret, Wanted
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings
from tests.integration.shopfloor import ANN, PRICE_MINOR, Shopfloor
from workers.tidying import Tidier

_GUEST = Actor.in_role("guest:1", "guest")
_EMAIL = "ada@example.com"
_ADDRESS = Address("Ada", "1 Harbour Street", "London", "GB")
_MUG = (Wanted("MUG", 1),)


@pytest_asyncio.fixture
async def tidier(floor: Shopfloor) -> AsyncIterator[Tidier]:
    config = Settings(
        database_url=floor.database_url,
        redis_url=floor.redis_url,
        mailbox_count=floor.mailbox_count,
        empty_checkout_keep_hours=48,
        guest_checkout_keep_days=30,
        checkout_keep_days=90,
    )
    async with Sender(config) as sender:
        yield Tidier(config, floor.pool, floor.pool, sender)


async def _open(floor: Shopfloor, actor: Actor, mailbox: int = 0, **fields: Any) -> UUID:
    checkout_id = floor.new_id(mailbox)
    await floor.post(OpenCheckout(checkout_id, **fields), actor=actor)
    await floor.drain()
    return checkout_id


async def _known(floor: Shopfloor) -> dict[UUID, bool]:
    """Of every checkout whether it still tells who somebody is."""
    rows = await floor.pool.fetch("SELECT id, num_nonnulls(email, address, note) > 0 AS known FROM checkouts")
    return {UUID(int=row["id"].int): row["known"] for row in rows}


async def test_what_nobody_touches_expires_in_its_time(floor: Shopfloor, tidier: Tidier) -> None:
    ages = [
        (_GUEST, (), 2.01),
        (ANN, (), 1.99),
        (_GUEST, _MUG, 30.01),
        (_GUEST, _MUG, 29.99),
        (ANN, _MUG, 90.01),
        (ANN, _MUG, 89.99),
    ]
    opened = []
    for actor, lines, days in ages:
        opened.append((await _open(floor, actor, lines=lines, note=Personal("Hello.")), days))
    shift = "UPDATE checkouts SET updated_at = updated_at - make_interval(secs => $1) WHERE id = $2"
    for checkout_id, days in opened:
        await floor.pool.execute(shift, days * 86_400, checkout_id)
    await tidier.tidy()
    await floor.drain()
    statuses = dict(await floor.pool.fetch("SELECT id, status FROM checkouts"))
    assert [statuses[checkout_id] for checkout_id, _ in opened] == ["expired", "open"] * 3
    known = await _known(floor)
    assert [known[checkout_id] for checkout_id, _ in opened] == [False, True] * 3
    for checkout_id, days in opened:  # else `verify` would notice the manipulation
        if statuses[checkout_id] == "open":
            await floor.pool.execute(shift, -days * 86_400, checkout_id)
    await floor.verified()


@pytest.mark.parametrize("mailbox", [0, 1], ids=["in one batch", "in another mailbox"])
async def test_the_checkouts_of_somebody_erased_forget_them_and_so_do_those_in_progress(
    floor: Shopfloor, mailbox: int
) -> None:
    await floor.fill(MUG=5)
    account_id = floor.new_id(0)
    account = CreateAccount(account_id, Personal(_EMAIL), Personal("Ada"), "customer", Secret("a hash"), confirmed=True)
    await floor.post(account)
    ada = Actor.in_role(str(account_id), "customer")
    own = await _open(floor, ada, lines=_MUG, address=_ADDRESS.sealed())
    completion = CompleteCheckout(own, floor.new_id(0), _MUG, PRICE_MINOR, identities=(f"customer:{account_id}",))
    await floor.post(completion, actor=ada)
    as_guest = await _open(floor, _GUEST, email=Personal(_EMAIL), note=Personal("Hello."))
    someone = await _open(floor, ANN, email=Personal("ann@example.com"))
    late = floor.new_id(mailbox)
    posted = [
        await floor.post(EraseAccount(account_id)),
        await floor.post(OpenCheckout(late, address=_ADDRESS.sealed()), actor=ada),
    ]
    await floor.drain(0)
    await floor.drain(mailbox)
    assert await floor.statuses(posted) == ["applied"] * 2
    assert await _known(floor) == {own: False, as_guest: False, someone: True, late: False}
    await floor.verified()


async def test_a_guests_checkout_forgets_them_with_their_order(floor: Shopfloor) -> None:
    await floor.fill(MUG=5)
    checkout_id = await _open(floor, _GUEST, lines=_MUG, email=Personal(_EMAIL), address=_ADDRESS.sealed())
    completion = CompleteCheckout(checkout_id, floor.new_id(0), _MUG, PRICE_MINOR)
    posted = await floor.post_all([completion, EraseOrderAddress(completion.order_id)], actor=_GUEST)
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 2
    assert await _known(floor) == {checkout_id: False}
    await floor.verified()
