"""The dashboard in a real browser: on a wall screen, on a phone, by keyboard, and by screen reader. Each visit ends
with a check of the browser's console and of the hosts that the page contacted (`tests.e2e.browser`)."""

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
import pytest
import pytest_asyncio
from playwright.async_api import expect

from ops.articles import Article
from runtime.database import asyncpg_dsn
from tests import pace
from tests.e2e.browser import NOBODY_THERE, PHONE, SIGN_IN_REFUSED, WIDE, Chromium, Scheme, Visitor
from tests.e2e.people import Person, newcomer
from tests.e2e.shop import Shop
from tests.listings import Listings
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

SCREENSHOTS: Final = Path(__file__).parents[2] / "build/screenshots"
CONTRAST: Final = (Path(__file__).parent / "contrast.js").read_text()

# Long enough for a busy machine. Figures arrive every second, what is running low every three.
SHOWN_WITHIN_SECONDS: Final = 15.0
expect.set_options(timeout=pace.seconds(SHOWN_WITHIN_SECONDS) * 1000)

LANTERN: Final = Article("LANTERN", "White metal lantern", 339, "GBP")
TEAPOT: Final = Article("TEAPOT", "Teapot for one", 1250, "GBP")
PLENTY: Final = tuple(
    Article(f"PLENTY-{number}", name, 200 + 45 * number, "GBP")
    for number, name in enumerate(
        (
            "Jumbo bag, red and white",
            "Mug with the tide table of 1910",
            "Set of three cake tins, pantry design",
            "Tea lights, box of twelve",
            "Bunting, five metres",
            "Doorstop, a small boat",
        )
    )
)


class Floor(Shop):
    """The shop, the browser, and the dashboard's visitors."""

    chromium: Chromium
    staff_member: Person
    visitor_customer: Person

    def visit(self, size: tuple[int, int] = WIDE, scheme: Scheme = "light") -> Visitor:
        return self.chromium.visitor(self.system.url, size=size, scheme=scheme)

    async def sell(self, times: int) -> None:
        """Places some orders for well-stocked products; confirms some, and cancels one."""
        customer = self.customer()
        baskets = itertools.islice(itertools.cycle(itertools.combinations(PLENTY, 2)), times)
        orders = await asyncio.gather(
            *(customer.placed({a.sku: 1 + n % 4, b.sku: 1}) for n, (a, b) in enumerate(baskets))
        )
        for order in orders[: times // 3]:
            (await self.staff.post(f"/orders/{order['id']}/confirm")).ok()
        await customer.cancel(orders[-1]["id"])


@pytest_asyncio.fixture(scope="module")
async def floor() -> AsyncIterator[Floor]:
    async with Chromium() as chromium:
        with System(sandbox=True) as system:
            database = await asyncpg.connect(asyncpg_dsn(system.postgres.url))
            try:
                async with aiohttp.ClientSession() as http, Listings(system) as listings:
                    shop = Floor(system, http, database, listings)
                    shop.chromium = chromium
                    shop.staff_member = await newcomer(shop, "staff")
                    shop.visitor_customer = await newcomer(shop, "customer")
                    await listings.put_on_sale(LANTERN, TEAPOT, *PLENTY)
                    for sku, pieces in ((LANTERN.sku, 7), (TEAPOT.sku, 100), *((a.sku, 900) for a in PLENTY)):
                        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": pieces})).ok()
                    yield shop
                    assert not system.tracebacks()
            finally:
                await database.close()


async def signed_in(floor: Floor, visitor: Visitor) -> None:
    await visitor.sign_in(floor.staff_member.email, floor.staff_member.password)
    await expect(visitor.at("connection-text")).to_have_text("Live")


async def test_orders_appear_and_the_figures_move(floor: Floor) -> None:
    customer = floor.customer()
    async with floor.visit() as visitor:
        await signed_in(floor, visitor)
        chart = visitor.page.get_by_role("img", name="Orders per minute")
        await expect(visitor.rows("low")).to_contain_text([LANTERN.name])
        before = await chart.get_attribute("aria-label")

        order = await customer.placed({LANTERN.sku: 5, TEAPOT.sku: 1})
        placed = visitor.page.get_by_role("row", name=order["number"])
        await expect(placed).to_contain_text("placed")
        await expect(placed).to_contain_text("£29.45")
        (await customer.place({LANTERN.sku: 3})).problem(409, "insufficient_stock")

        await expect(visitor.at("orders")).not_to_have_text("0")
        await expect(visitor.at("revenue")).to_contain_text("£")
        await expect(visitor.rows("fast").filter(has_text=LANTERN.name)).to_contain_text("5")
        await expect(visitor.rows("low").filter(has_text=LANTERN.name)).to_contain_text("2")
        await expect(visitor.rows("refusals")).to_contain_text(["Not enough in stock"])
        await expect(visitor.rows("missed")).to_contain_text([LANTERN.name])
        await expect(visitor.at("refused")).to_have_text("1")
        await expect(visitor.at("latency")).to_contain_text("ms")
        await expect(visitor.at("backlog")).to_have_text("0")
        await expect(chart).not_to_have_attribute("aria-label", before or "")


async def test_money_is_shown_as_it_comes_and_goes(floor: Floor) -> None:
    customer = floor.customer()
    async with floor.visit() as visitor:
        await signed_in(floor, visitor)
        await expect(visitor.at("checkouts")).to_have_text("0")
        checkout = (await customer.post("/checkouts", {"lines": [{"sku": TEAPOT.sku, "quantity": 2}]})).ok(201)
        await expect(visitor.at("checkouts")).to_have_text("1")
        await expect(visitor.at("checkouts-note")).to_have_text("1 active, 0 completed")

        body = {"expected_total_minor": 2500, "payment": {"provider": "sandbox", "method": "card"}}
        order = (await customer.post(f"/checkouts/{checkout['id']}/complete", body)).ok(201)
        await expect(visitor.at("paid")).to_have_text("£25.00")
        await expect(visitor.at("paid-note")).to_have_text("1 payment")
        await expect(visitor.at("failed-note")).to_have_text("0 % in a minute")
        refund = {"amount_minor": 600, "reason": "Chipped"}
        (await floor.staff.post(f"/payments/{order['payment']['id']}/refund", refund)).ok()
        await expect(visitor.at("paid")).to_have_text("£19.00")
        await expect(visitor.at("checkouts-note")).to_have_text("0 active, 1 completed")

        unpaid = await customer.placed({TEAPOT.sku: 1})
        pay = f"/orders/{unpaid['id']}/payments"
        (await customer.post(pay, {"provider": "sandbox", "method": "card+decline"}, wait=10)).ok(201)
        await expect(visitor.at("failed")).to_have_text("1")
        await expect(visitor.at("failed-note")).to_have_text("50 % in a minute")
        await expect(visitor.at("pending")).to_have_text("0")
        await expect(visitor.at("pending-note")).to_have_text("nobody waits")
        (await customer.post(pay, {"provider": "sandbox"}, wait=10)).ok(201)
        await expect(visitor.at("pending")).to_have_text("1")
        await expect(visitor.at("pending-note")).to_contain_text("for up to")


@pytest.mark.parametrize("end", ["kill_process", "stop_process"])
async def test_it_continues_without_a_gap_when_the_gateway_ends(floor: Floor, end: str) -> None:
    customer = floor.customer()
    async with floor.visit() as visitor:
        visitor.expects(NOBODY_THERE)
        await signed_in(floor, visitor)
        await customer.placed({TEAPOT.sku: 1})
        waiting = [await customer.place({TEAPOT.sku: 1}, wait=None) for _ in range(20)]
        await asyncio.to_thread(getattr(floor.system, end), "gateway")
        await expect(visitor.at("connection")).to_have_attribute("data-state", "lost")
        await expect(visitor.at("connection-text")).to_contain_text("Connection lost")
        assert all(answer.status == 202 for answer in waiting)
        floor.system.start_process("gateway")
        await expect(visitor.at("connection")).to_have_attribute("data-state", "live", timeout=pace.seconds(30) * 1000)
        last = await customer.placed({TEAPOT.sku: 1})
        await expect(visitor.page.get_by_role("row", name=last["number"])).to_be_visible()

        seen = visitor.seqs()
        of_orders = "SELECT seq FROM events WHERE type LIKE 'order.%' AND seq >= $1 ORDER BY seq"
        assert seen == [row["seq"] for row in await floor.database.fetch(of_orders, seen[0])]
        assert visitor.sockets > 1
        assert await visitor.rows("latest").first.get_attribute("data-seq") == str(seen[-1])


async def test_reloading_the_page_keeps_the_sign_in(floor: Floor) -> None:
    async with floor.visit() as visitor:
        await signed_in(floor, visitor)
        await visitor.page.reload()
        await expect(visitor.at("connection-text")).to_have_text("Live")


async def test_a_wrong_password_is_reported(floor: Floor) -> None:
    async with floor.visit() as visitor:
        visitor.expects(SIGN_IN_REFUSED)
        await visitor.sign_in(floor.staff_member.email, "something else")
        alert = visitor.page.get_by_role("alert")
        await expect(alert).not_to_be_empty()
        await expect(visitor.page.get_by_label("Password")).to_be_focused()
        await expect(visitor.at("board")).to_be_hidden()


async def test_a_customer_is_told_that_the_figures_are_for_staff(floor: Floor) -> None:
    async with floor.visit() as visitor:
        await visitor.sign_in(floor.visitor_customer.email, floor.visitor_customer.password)
        await expect(visitor.page.get_by_role("alert")).to_contain_text("for the shop's staff")
        await expect(visitor.at("board")).to_be_hidden()
        assert not visitor.seqs()


async def test_signing_out_ends_the_session(floor: Floor) -> None:
    async with floor.visit() as visitor:
        await signed_in(floor, visitor)
        async with visitor.page.expect_response("**/api/auth/logout") as answer:
            await visitor.page.get_by_role("button", name="Sign out").click()
        assert (await answer.value).status == 204
        await expect(visitor.at("sign-in")).to_be_visible()
        await expect(visitor.rows("latest")).to_have_count(0)
        await visitor.page.reload()
        await expect(visitor.at("sign-in")).to_be_visible()


async def test_it_can_be_used_with_the_keyboard_alone(floor: Floor) -> None:
    async with floor.visit() as visitor:
        keyboard = visitor.page.keyboard
        await expect(visitor.page.get_by_label("E-mail")).to_be_focused()
        await keyboard.type(floor.staff_member.email)
        await keyboard.press("Tab")
        await keyboard.type(floor.staff_member.password)
        await keyboard.press("Enter")
        await expect(visitor.at("connection-text")).to_have_text("Live")
        await expect(visitor.at("main")).to_be_focused()
        await keyboard.press("Tab")
        await expect(visitor.page.get_by_role("group", name="The latest")).to_be_focused()
        await keyboard.press("Shift+Tab")
        await expect(visitor.page.get_by_role("button", name="Sign out")).to_be_focused()
        await keyboard.press("Enter")
        await expect(visitor.page.get_by_label("E-mail")).to_be_focused()


async def test_it_makes_sense_in_a_screen_reader(floor: Floor) -> None:
    async with floor.visit() as visitor:
        page = visitor.page
        await expect(page.get_by_role("banner")).to_contain_text("Tidegate")
        await expect(page.get_by_role("main")).to_be_visible()
        await expect(page.get_by_role("form", name="Sign in")).to_be_visible()
        await signed_in(floor, visitor)
        await expect(page.get_by_role("heading", level=1)).to_have_text("Tidegate")
        for name in ("Orders per minute", "Revenue per minute", "Key figures", "Selling fast", "Running low"):
            await expect(page.get_by_role("region", name=name)).to_be_visible()
        await expect(page.get_by_role("region", name="Refused, and why")).to_be_visible()
        await expect(page.get_by_role("status")).to_have_text("Live")
        for chart in ("Orders per minute", "Revenue per minute"):
            await expect(page.get_by_role("img", name=f"{chart}: now")).to_be_visible()
        # What changes every second is not announced every second.
        assert await page.locator("[aria-live], output, [role=status], [role=alert], [role=log]").count() == 2
        ids = await page.eval_on_selector_all("[id]", "elements => elements.map(element => element.id)")
        assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
async def test_it_is_readable(floor: Floor, size: tuple[int, int], scheme: Scheme) -> None:
    """Nothing overflows, all text has enough contrast, a wall screen shows everything at once; and a screenshot is
    kept."""
    name = f"{'wide' if size == WIDE else 'phone'}-{scheme}"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    async with floor.visit(size, scheme) as visitor:
        page = visitor.page
        assert await page.evaluate(CONTRAST) == []
        await page.screenshot(path=SCREENSHOTS / f"sign-in-{name}.png")
        await signed_in(floor, visitor)
        await expect(visitor.at("orders")).to_have_text(re.compile(r"\d"))
        before = await visitor.at("orders").inner_text()
        await floor.sell(12)
        (await floor.customer().place({LANTERN.sku: 900})).problem(409, "insufficient_stock")
        await expect(visitor.at("orders")).not_to_have_text(before)
        await expect(visitor.rows("fast")).to_have_count(len(PLENTY))
        await expect(visitor.rows("fast").filter(has_text=PLENTY[0].name)).to_contain_text("8")
        await expect(visitor.rows("missed").filter(has_text=LANTERN.name)).to_be_visible()
        assert await page.evaluate(CONTRAST) == []
        width, height = await page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
        )
        assert width == size[0]
        if size == WIDE:
            assert height == size[1]
        await page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


async def test_nothing_moves_when_figures_arrive(floor: Floor) -> None:
    """The cards keep their places, to the pixel, whatever arrives."""
    cards = (
        "[...document.querySelectorAll('.board .card')].map(card => card.getBoundingClientRect())"
        ".map(({x, y, width, height}) => [x, y, width, height].map(Math.round))"
    )
    async with floor.visit() as visitor:
        await signed_in(floor, visitor)
        before = await visitor.page.evaluate(cards)
        heard = len(visitor.frames)
        await floor.sell(6)

        async def figures_came() -> bool:
            return any(frame["type"] == "stats" for frame in visitor.frames[heard:])

        await eventually_seen("figures", figures_came, within_seconds=SHOWN_WITHIN_SECONDS)
        assert await visitor.page.evaluate(cards) == before
