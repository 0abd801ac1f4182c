"""Allowances are never overdrawn, however many checkouts are completed at once, and are given back when an order is
cancelled or expires."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.model import Actor, Wanted
from domain.orders import CancelOrder, ExpireOrder
from domain.promotion_codes import CreateCodes, GiveUpCode
from domain.quote.actions.amounts import Percent
from domain.quote.terms.promotions import Code, Promotion
from domain.terms import PROMOTION, StateTerms, part_name
from tests.integration.drainers import drainer
from tests.integration.shopfloor import ANN, PRICE_MINOR, STAFF, Shopfloor

_PROMOTION = UUID(int=7)
_CODE = UUID(int=8)
_HALF = Percent(percent_bp=5_000)
_MUG = (Wanted("MUG", 1),)
_USES = f"code:{_CODE}"


async def _promote(floor: Shopfloor, *, uses_limit: int | None = None, per_customer: int | None = None) -> None:
    promotion = Promotion(_PROMOTION, 0, "Half", _HALF, coded=True, uses_per_customer=per_customer)
    like = Code(_CODE, "", _PROMOTION, uses_limit=uses_limit)
    posted = await floor.post_all(
        [
            StateTerms(part_name(PROMOTION, _PROMOTION), promotion=promotion),
            CreateCodes(_PROMOTION, ((_CODE, "SAVE"),), like),
        ],
        actor=STAFF,
    )
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 2


async def _opened(floor: Shopfloor, mailbox: int, actor: Actor = ANN) -> UUID:
    checkout_id = floor.new_id(mailbox)
    await floor.post(OpenCheckout(checkout_id, lines=_MUG, codes=("save",)), actor=actor)
    return checkout_id


def _completion(
    floor: Shopfloor, checkout_id: UUID, mailbox: int, keys: Sequence[str], identities: tuple[str, ...] = ()
) -> CompleteCheckout:
    half = PRICE_MINOR // 2
    return CompleteCheckout(
        checkout_id, floor.new_id(mailbox), _MUG, half, codes=("SAVE",), allowances=tuple(keys), identities=identities
    )


async def _taken(floor: Shopfloor) -> dict[str, tuple[int, int]]:
    return {key: (posted, pending) for key, posted, pending in await floor.pool.fetch("SELECT * FROM allowances")}


async def test_a_code_of_ten_uses_is_used_ten_times_by_thirty_at_once(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    await _promote(floor, uses_limit=10)
    opened = [(await _opened(floor, place % 4), place % 4) for place in range(30)]
    await floor.drain()
    posted = await floor.post_all(_completion(floor, each, mailbox, [_USES]) for each, mailbox in opened)
    await asyncio.gather(*(drainer(floor, 4).drain(range(4)) for _ in range(3)))
    await floor.drain()
    assert Counter(await floor.statuses(posted)) == {"applied": 10, "rejected: checkout_changed": 20}
    assert await _taken(floor) == {_USES: (10, 10)}
    await floor.verified()


@pytest.mark.parametrize("ends", [CancelOrder, ExpireOrder])
async def test_a_cancelled_order_gives_back_its_use_of_the_promotion(
    floor: Shopfloor, ends: type[CancelOrder | ExpireOrder]
) -> None:
    await floor.fill(MUG=10)
    await _promote(floor, uses_limit=1)
    first, second = [await _opened(floor, mailbox) for mailbox in (0, 1)]
    completion = _completion(floor, first, 0, [_USES])
    await floor.post(completion)
    await floor.drain()
    refused = await floor.post(_completion(floor, second, 1, [_USES]))
    await floor.drain()
    ended = await floor.post(ends(completion.order_id), actor=STAFF)
    await floor.drain()
    taken = await floor.post(_completion(floor, second, 1, [_USES]))
    await floor.drain()
    assert await floor.statuses([refused, ended, taken]) == ["rejected: checkout_changed", "applied", "applied"]
    assert await _taken(floor) == {_USES: (1, 1)}
    await floor.verified()


async def test_each_buyer_has_their_own_share(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    await _promote(floor, per_customer=1)
    keys = {one: f"promotion:{_PROMOTION}:{one}" for one in ("customer:ann", "customer:eve")}
    statuses = []
    for one in ("customer:ann", "customer:eve", "customer:ann"):
        checkout_id = await _opened(floor, 0)
        posted = await floor.post(_completion(floor, checkout_id, 0, [keys[one]], (one,)))
        await floor.drain()
        statuses += await floor.statuses([posted])
    assert statuses == ["applied", "applied", "rejected: checkout_changed"]
    await floor.verified()


async def test_a_limit_that_was_raised_is_raised(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    key = f"promotion:{_PROMOTION}"
    statuses = []
    for limit in (1, 1, 3):
        promotion = Promotion(_PROMOTION, 0, "Half", _HALF, uses_limit=limit)
        await floor.post(StateTerms(part_name(PROMOTION, _PROMOTION), promotion=promotion), actor=STAFF)
        checkout_id = floor.new_id(0)
        await floor.post(OpenCheckout(checkout_id, lines=_MUG))
        await floor.drain()
        posted = await floor.post(
            CompleteCheckout(checkout_id, floor.new_id(0), _MUG, PRICE_MINOR // 2, allowances=(key,))
        )
        await floor.drain()
        statuses += await floor.statuses([posted])
    assert statuses == ["applied", "rejected: checkout_changed", "applied"]
    assert await _taken(floor) == {key: (3, 2)}
    await floor.verified()


async def test_an_allowance_that_was_not_loaded_is_not_taken_from(floor: Shopfloor) -> None:
    """The limit is newer than the quote that the buyer saw: its balance is not loaded, so what is left is unknown."""
    await floor.fill(MUG=10)
    await _promote(floor, uses_limit=1)
    checkout_id = await _opened(floor, 0)
    posted = await floor.post(_completion(floor, checkout_id, 0, []))
    await floor.drain()
    assert await floor.statuses([posted]) == ["rejected: checkout_changed"]
    await floor.verified()


async def test_a_code_that_was_given_up_is_not_taken(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    await _promote(floor)
    checkout_id = await _opened(floor, 0)
    await floor.drain()
    posted = [await floor.post(GiveUpCode("SAVE"), actor=STAFF)]
    await floor.drain()
    posted.append(await floor.post(_completion(floor, checkout_id, 0, [])))
    posted.append(await floor.post(GiveUpCode("OTHER"), actor=STAFF))
    posted.append(await floor.post(CreateCodes(uuid4(), ((uuid4(), "NONE"),), Code(_CODE, "", _CODE)), actor=STAFF))
    await floor.drain()
    assert await floor.statuses(posted) == [
        "applied",
        "rejected: checkout_changed",
        "rejected: code_not_found",
        "rejected: promotion_not_found",
    ]
    await floor.verified()
