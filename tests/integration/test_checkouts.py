"""Checkouts become one order each, at the price that was seen, and the log and the table agree."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from domain.addresses import Address
from domain.checkouts import CancelCheckout, ChangeCheckout, ExpireCheckout, OpenCheckout
from domain.completion import CompleteCheckout
from domain.model import Personal, Wanted
from tests.integration.shopfloor import BOB, PRICE_MINOR, STAFF, Shopfloor

pytestmark = pytest.mark.usefixtures("both_ways")

_ADDRESS = Address("Ada Lovelace", "1 Harbour Street", "London", "GB", postal_code="SW1A 1AA")


def _lines(**quantities: int) -> tuple[Wanted, ...]:
    return tuple(Wanted(sku, quantity) for sku, quantity in quantities.items())


def _completion(floor: Shopfloor, checkout_id: UUID, total_minor: int, **lines: int) -> CompleteCheckout:
    return CompleteCheckout(checkout_id, floor.new_id(0), _lines(**lines), total_minor)


async def test_a_checkout_becomes_an_order(floor: Shopfloor) -> None:
    await floor.fill(MUG=5, CUP=5)
    checkout_id = floor.new_id(0)
    completion = _completion(floor, checkout_id, 3 * PRICE_MINOR, MUG=2, CUP=1)
    posted = await floor.post_all(
        [
            OpenCheckout(checkout_id, lines=_lines(MUG=1), note=Personal("Ring twice.")),
            ChangeCheckout(checkout_id, lines=_lines(MUG=2, CUP=1), address=_ADDRESS.sealed(), cleared=("note",)),
            completion,
        ]
    )
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 3
    assert await floor.order_status(completion.order_id) == "placed"
    assert await floor.stock("MUG") == (5, 2)
    row = await floor.pool.fetchrow("SELECT status, order_id, address, note, version FROM checkouts")
    assert (row["status"], UUID(int=row["order_id"].int), row["note"], row["version"]) == (
        "completed",
        completion.order_id,
        None,
        3,
    )
    assert Address.opened(Personal(row["address"])) == _ADDRESS
    said = await floor.pool.fetchval("SELECT string_agg(data::text, ' ') FROM events")
    assert "Lovelace" not in said
    assert "twice" not in said
    assert (await floor.verified())["checkouts"] == 1


async def test_one_order_comes_of_a_checkout_whoever_completes_it_again(floor: Shopfloor) -> None:
    await floor.fill(MUG=50)
    checkout_id = floor.new_id(0)
    await floor.post(OpenCheckout(checkout_id, lines=_lines(MUG=1)))
    posted = await floor.post_all(_completion(floor, checkout_id, PRICE_MINOR, MUG=1) for _ in range(10))
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 10
    kinds = [row["type"] for row in await floor.pool.fetch("SELECT type FROM events ORDER BY seq")]
    assert kinds.count("order.placed") == 1
    assert kinds.count("checkout.unchanged") == 9
    assert await floor.stock("MUG") == (50, 1)
    await floor.verified()


@pytest.mark.parametrize(
    ("total_minor", "lines", "code"),
    [
        (PRICE_MINOR + 1, {"MUG": 1}, "checkout_changed"),
        (2 * PRICE_MINOR, {"MUG": 2}, "checkout_changed"),
    ],
    ids=["another price", "other lines"],
)
async def test_what_was_not_seen_is_not_ordered(
    floor: Shopfloor, total_minor: int, lines: dict[str, int], code: str
) -> None:
    await floor.fill(MUG=5)
    checkout_id = floor.new_id(0)
    await floor.post(OpenCheckout(checkout_id, lines=_lines(MUG=1)))
    posted = await floor.post(_completion(floor, checkout_id, total_minor, **lines))
    await floor.drain()
    assert await floor.statuses([posted]) == [f"rejected: {code}"]
    assert await floor.stock("MUG") == (5, 0)
    await floor.verified()


async def test_what_is_short_or_lacking_is_refused_and_can_be_tried_again(floor: Shopfloor) -> None:
    await floor.fill(MUG=1)
    checkout_id = floor.new_id(0)
    posted = await floor.post_all(
        [
            OpenCheckout(checkout_id),
            _completion(floor, checkout_id, 0),
            ChangeCheckout(checkout_id, lines=_lines(MUG=2)),
            _completion(floor, checkout_id, 2 * PRICE_MINOR, MUG=2),
            ChangeCheckout(checkout_id, lines=_lines(MUG=1)),
            _completion(floor, checkout_id, PRICE_MINOR, MUG=1),
            ChangeCheckout(checkout_id, lines=_lines(MUG=3)),
            CancelCheckout(checkout_id),
        ]
    )
    await floor.drain()
    assert await floor.statuses(posted) == [
        "applied",
        "rejected: checkout_incomplete",
        "applied",
        "rejected: insufficient_stock",
        "applied",
        "applied",
        "rejected: checkout_not_open",
        "rejected: checkout_not_open",
    ]
    await floor.verified()


async def test_a_cancelled_checkout_keeps_no_personal_data(floor: Shopfloor) -> None:
    first, second = floor.new_id(0), floor.new_id(1)
    known: dict[str, Any] = {"email": Personal("ada@example.com"), "address": _ADDRESS.sealed()}
    posted = await floor.post_all(
        [
            OpenCheckout(first, **known),
            CancelCheckout(first),
            CancelCheckout(first),
            OpenCheckout(second, **known),
            ChangeCheckout(second, lines=()),
        ]
    )
    expiries = await floor.post_all([ExpireCheckout(second, 1), ExpireCheckout(second, 2)], actor=STAFF)
    await floor.drain()
    assert await floor.statuses([*posted, *expiries]) == ["applied"] * 5 + ["rejected: checkout_changed", "applied"]
    kept = await floor.pool.fetchval("SELECT count(*) FROM checkouts WHERE num_nonnulls(email, address) > 0")
    assert kept == 0
    await floor.verified()


async def test_other_people_s_checkouts_do_not_exist(floor: Shopfloor) -> None:
    checkout_id = floor.new_id(0)
    await floor.post(OpenCheckout(checkout_id))
    await floor.drain()
    posted = await floor.post_all([ChangeCheckout(checkout_id), CancelCheckout(checkout_id)], actor=BOB)
    await floor.drain()
    assert await floor.statuses(posted) == ["rejected: checkout_not_found"] * 2
    await floor.verified()
