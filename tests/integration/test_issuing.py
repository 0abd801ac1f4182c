"""A gift card that was bought is issued when its order is fulfilled: once, whatever is repeated, and without its code
in the log."""

from uuid import UUID

import msgspec

from domain.catalogue import GIFT_CARD
from domain.orders import ConfirmOrder, FulfilOrder
from runtime.gift_card_codes import CardCodes
from tests.beside import beside
from tests.integration.reacting import Stage, tools
from tests.integration.shopfloor import PRICE_MINOR, STAFF, Shopfloor
from workers.reactions.issuing import Issuing

_BOUGHT = 3


async def _fulfilled(floor: Shopfloor) -> UUID:
    listing = floor.listing("VOUCHER", 10)
    assert listing.variant is not None
    listing = msgspec.structs.replace(listing, variant=msgspec.structs.replace(listing.variant, kind=GIFT_CARD))
    order = floor.place(VOUCHER=_BOUGHT, TEA=2)
    commands = [listing, order, ConfirmOrder(order.order_id), FulfilOrder(order.order_id)]
    posted = []
    for command in commands:
        posted.append(await floor.post(command, actor=STAFF))
        await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * len(commands)
    return order.order_id


async def test_each_piece_is_a_card_worth_what_it_cost(floor: Shopfloor) -> None:
    await floor.fill(TEA=10)
    async with tools(floor) as given:
        stage = Stage(floor, Issuing(given))
        await stage.begin()
        order_id = await _fulfilled(floor)
        async with beside(floor.work):
            await stage.run_to_the_end()
            await floor.pool.execute("UPDATE reactions SET position = 0 WHERE name = 'issuing'")
            await stage.run_to_the_end()
        codes = CardCodes(given.config)
    rows = await floor.pool.fetch("SELECT * FROM gift_cards")
    assert [(row["order_id"], row["initial_minor"], row["currency"]) for row in rows] == [
        (order_id, PRICE_MINOR, "GBP")
    ] * _BOUGHT
    log = await floor.pool.fetchval("SELECT string_agg(data::text, ' ') FROM events")
    requests = b" ".join(row["request"] for row in await floor.pool.fetch("SELECT request FROM commands"))
    log += requests.decode("latin-1")
    for row in rows:
        code = codes.of(UUID(int=row["id"].int))
        assert (row["code_hash"], row["shown"]) == (code.code_hash, code.shown)
        assert not any(secret in log for secret in (code.code, code.code.replace("-", ""), code.code_hash))
    assert (await floor.verified())["gift_cards"] == _BOUGHT


async def test_orders_without_gift_cards_issue_nothing(floor: Shopfloor) -> None:
    await floor.fill(TEA=10)
    async with tools(floor) as given:
        stage = Stage(floor, Issuing(given))
        await stage.begin()
        order = floor.place(TEA=1)
        await floor.post_all([order, ConfirmOrder(order.order_id), FulfilOrder(order.order_id)], actor=STAFF)
        await floor.drain()
        await stage.run_to_the_end()
    assert await floor.pool.fetchval("SELECT count(*) FROM gift_cards") == 0
    assert await floor.dead_letters() == []
    await floor.verified()
