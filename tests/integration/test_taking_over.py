"""A guest's checkout is taken over at sign-in, with what the customer had in one of their own; nothing of either is
lost."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from domain.checkouts import ChangeCheckout, OpenCheckout, TakeOverCheckout
from domain.limits import ORDER_MAX_LINES
from domain.model import Actor, Personal, Wanted
from tests.integration.background import Background, until
from tests.integration.shopfloor import ANN, BOB, STAFF, Shopfloor
from workers.tasks.kinds import CALLS

_GUEST = Actor.in_role("guest:1", "guest")
_GUESTS = (Wanted("MUG", 1), Wanted("CUP", 2))
_OWN = (Wanted("MUG", 3), Wanted("TEA", 1))


async def _applied(floor: Shopfloor, command: Any, actor: Actor = ANN) -> str:
    """Its outcome, whoever drains the mailboxes."""
    posted = await floor.post(command, actor=actor)
    found: list[str] = []

    async def settled() -> bool:
        await floor.drain()
        found[:] = [status for status in await floor.statuses([posted]) if status != "not recorded"]
        return bool(found)

    await until(settled)
    return found[0]


async def _opened(floor: Shopfloor, actor: Actor, mailbox: int, **fields: Any) -> UUID:
    checkout_id = floor.new_id(mailbox)
    assert await _applied(floor, OpenCheckout(checkout_id, **fields), actor) == "applied"
    return checkout_id


async def _row(floor: Shopfloor, checkout_id: UUID) -> dict[str, Any]:
    found = dict(await floor.pool.fetchrow("SELECT * FROM checkouts WHERE id = $1", checkout_id))
    found["lines"] = {line["sku"]: line["quantity"] for line in json.loads(found["lines"])}
    return found


def _taking(checkout_id: UUID, own_id: UUID, **comes: Any) -> TakeOverCheckout:
    return TakeOverCheckout(checkout_id, lines=_OWN, guest_id="guest:1", own_id=own_id, own_version=1, **comes)


async def test_a_customer_without_a_checkout_takes_over_the_guest_s_as_it_is(floor: Shopfloor) -> None:
    guests = await _opened(floor, _GUEST, 0, lines=_GUESTS, note=Personal("Ring twice."))
    taking = TakeOverCheckout(guests, guest_id="guest:1")
    assert [await _applied(floor, taking) for _ in range(2)] == ["applied"] * 2
    row = await _row(floor, guests)
    assert (row["customer_id"], row["status"], row["lines"]) == ("ann", "open", {"MUG": 1, "CUP": 2})
    assert (row["note"], row["version"]) == ("Ring twice.", 2)
    assert await _applied(floor, ChangeCheckout(guests, lines=()), _GUEST) == "rejected: checkout_not_found"
    await floor.verified()


@pytest.mark.parametrize("touched", [False, True], ids=["and that is closed", "unless it was touched meanwhile"])
async def test_what_the_customer_had_is_added_and_their_own_closed(jobs: Background, touched: bool) -> None:
    floor = jobs.floor
    own = await _opened(floor, ANN, 1, lines=_OWN)
    guests = await _opened(floor, _GUEST, 0, lines=_GUESTS, email=Personal("guest@example.com"), codes=("A",))
    comes = {"email": Personal("ann@example.com"), "note": Personal("Ring twice."), "codes": ("B", "A")}
    assert await _applied(floor, _taking(guests, own, **comes)) == "applied"
    row = await _row(floor, guests)
    assert row["lines"] == {"MUG": 4, "TEA": 1, "CUP": 2}
    assert (row["email"], row["note"], row["codes"]) == ("guest@example.com", "Ring twice.", ["A", "B"])
    if touched:
        assert await _applied(floor, ChangeCheckout(own, lines=())) == "applied"
    assert await jobs.run_due(CALLS) == 1
    assert (await _row(floor, own))["status"] == ("open" if touched else "cancelled")
    await floor.verified()


async def test_only_the_guest_s_own_open_checkouts_can_be_taken_over(floor: Shopfloor) -> None:
    guests, bobs = await _opened(floor, _GUEST, 0), await _opened(floor, BOB, 0)
    for command in (
        TakeOverCheckout(guests, guest_id="guest:2"),
        TakeOverCheckout(bobs, guest_id="guest:1"),
        TakeOverCheckout(bobs, guest_id="bob"),
        TakeOverCheckout(floor.new_id(0), guest_id="guest:1"),
    ):
        assert await _applied(floor, command) == "rejected: checkout_not_found"
        assert await _applied(floor, command, STAFF) == "rejected: checkout_not_found"
    assert (await _row(floor, guests))["customer_id"] == "guest:1"
    await floor.verified()


async def test_together_they_are_no_more_than_an_order_may_have(floor: Shopfloor) -> None:
    many = tuple(Wanted(f"SKU-{number}", 1) for number in range(ORDER_MAX_LINES))
    guests = await _opened(floor, _GUEST, 0, lines=many)
    assert await _applied(floor, _taking(guests, floor.new_id(1))) == "rejected: too_many_lines"
    await floor.verified()
