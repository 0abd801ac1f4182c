"""The sandbox's page in a real browser: a buyer pays, is declined and tries again, is asked for a step, or gives up."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from playwright.async_api import expect

from domain.payments.amounts import Amounts
from tests import pace
from tests.e2e.browser import PHONE, Chromium, Visitor
from tests.payments import Book, SandboxHere, sandbox_here
from tests.receiver import Receiver, with_status

pytestmark = pytest.mark.campaign

CONTRAST: Final = (Path(__file__).parent / "contrast.js").read_text()
PAID: Final = "It is paid. Thank you."

expect.set_options(timeout=pace.seconds(15) * 1000)


class Till(NamedTuple):
    """The sandbox, the browser, and the shop to which buyers return."""

    sandbox: SandboxHere
    chromium: Chromium
    shop: Receiver

    async def opened(self, *, returning: bool = True) -> tuple[Book, Visitor]:
        """A payment that waits for its buyer, and the buyer on its page."""
        book = Book(self.sandbox.client)
        await book.create(return_url=self.shop.url if returning else None)
        assert book.action_url is not None
        assert book.action_url.value.startswith(self.sandbox.url)
        visitor = self.chromium.visitor(self.sandbox.url, book.action_url.value.removeprefix(self.sandbox.url))
        visitor.may_go_to(self.shop.url)
        return book, visitor

    async def told(self, book: Book) -> Amounts:
        book.take(await self.sandbox.client.ask(book.attempt))
        return book.amounts


@pytest_asyncio.fixture(scope="module")
async def till(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Till]:
    async with (
        Chromium() as chromium,
        Receiver() as shop,
        sandbox_here(tmp_path_factory.mktemp("sandbox"), shop.url) as sandbox,
    ):
        shop.answer = with_status(200, Content_Type="text/html")
        yield Till(sandbox, chromium, shop)


async def test_a_buyer_pays_and_is_sent_back_to_the_shop(till: Till) -> None:
    book, visitor = await till.opened()
    async with visitor as buyer:
        await expect(buyer.page.get_by_text("GBP 10.00")).to_be_visible()
        await buyer.page.get_by_role("button", name="Pay", exact=True).click()
        await buyer.page.wait_for_url(till.shop.url)
    assert await till.told(book) == Amounts(charged=1_000)


async def test_without_a_shop_to_return_to_the_page_says_how_it_ended(till: Till) -> None:
    book, visitor = await till.opened(returning=False)
    async with visitor as buyer:
        await buyer.page.get_by_role("button", name="Pay", exact=True).click()
        await expect(buyer.page.get_by_role("status")).to_have_text(PAID)
        await expect(buyer.page.get_by_role("button")).to_have_count(0)
        await buyer.page.reload()
        await expect(buyer.page.get_by_role("status")).to_have_text(PAID)
    assert await till.told(book) == Amounts(charged=1_000)


async def test_a_declined_buyer_may_try_another_card_and_pays_once(till: Till) -> None:
    book, visitor = await till.opened()
    async with visitor as buyer:
        await buyer.page.get_by_role("button", name="declined").click()
        await expect(buyer.page.get_by_role("status")).to_have_text("The card was declined. Try another one.")
        assert await till.told(book) == Amounts(charge_pending=1_000)
        await buyer.page.get_by_role("button", name="Pay", exact=True).click()
        await buyer.page.wait_for_url(till.shop.url)
    assert await till.told(book) == Amounts(charged=1_000)


async def test_a_bank_that_asks_for_a_step_is_answered(till: Till) -> None:
    book, visitor = await till.opened()
    async with visitor as buyer:
        await buyer.page.get_by_role("button", name="another step").click()
        await buyer.page.get_by_role("button", name="No, it is not").click()
        await expect(buyer.page.get_by_role("status")).to_contain_text("declined")
        await buyer.page.get_by_role("button", name="another step").click()
        assert await till.told(book) == Amounts(charge_pending=1_000)
        await buyer.page.get_by_role("button", name="Yes, it is").click()
        await buyer.page.wait_for_url(till.shop.url)
    assert await till.told(book) == Amounts(charged=1_000)


async def test_a_buyer_who_gives_up_cannot_pay_any_more(till: Till) -> None:
    book, visitor = await till.opened()
    async with visitor as buyer:
        await buyer.page.get_by_role("button", name="Give up").click()
        await buyer.page.wait_for_url(till.shop.url)
    assert await till.told(book) == Amounts()
    async with aiohttp.ClientSession() as http:
        path = f"/pay/{book.provider_reference}"
        async with http.post(f"{till.sandbox.url}{path}", data={"choice": "pay"}, allow_redirects=False) as response:
            assert response.status == 303
    assert await till.told(book) == Amounts()


async def test_a_step_asked_of_a_given_card_is_taken_on_the_page(till: Till) -> None:
    book = Book(till.sandbox.client)
    await book.create("card+step", return_url=till.shop.url)
    assert book.action_url is not None
    visitor = till.chromium.visitor(till.sandbox.url, book.action_url.value.removeprefix(till.sandbox.url))
    visitor.may_go_to(till.shop.url)
    async with visitor as buyer:
        await buyer.page.get_by_role("button", name="Yes, it is").click()
        await buyer.page.wait_for_url(till.shop.url)
    assert await till.told(book) == Amounts(charged=1_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_page_fits_a_phone_and_can_be_read(till: Till, scheme: str) -> None:
    book, _ = await till.opened()
    path = f"/pay/{book.provider_reference}"
    visitor = till.chromium.visitor(till.sandbox.url, path, size=PHONE, scheme="dark" if scheme == "dark" else "light")
    async with visitor as buyer:
        assert await buyer.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await buyer.page.evaluate(CONTRAST) == []
        await buyer.page.keyboard.press("Tab")
        await expect(buyer.page.get_by_role("button", name="Pay", exact=True)).to_be_focused()


async def test_the_newest_payments_are_listed(till: Till) -> None:
    book, _ = await till.opened()
    async with till.chromium.visitor(till.sandbox.url, "/") as visitor:
        first = visitor.page.get_by_role("row").nth(1)
        await expect(first).to_contain_text("waits for its buyer")
        await first.get_by_role("link").click()
        await visitor.page.wait_for_url(f"{till.sandbox.url}/pay/{book.provider_reference}")
