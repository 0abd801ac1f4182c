"""Lists, page by page: nothing repeated and nothing left out, whatever is added meanwhile; and invalid cursors and
limits."""

import asyncio
import base64

import pytest

from tests.e2e.api import Client
from tests.e2e.conftest import SHOP_SETTINGS
from tests.e2e.shop import Shop

PAGE_MAX_ROWS = int(SHOP_SETTINGS["TIDEGATE_PAGE_MAX_ROWS"])


@pytest.fixture
def customer(shop: Shop) -> Client:
    return shop.customer()


async def test_own_orders_newest_first_without_repeats_or_gaps(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=100)
    placed = [await customer.placed({sku: 1}) for _ in range(10)]
    await shop.customer().placed({sku: 1})
    pages = await customer.pages("/orders", 3)
    assert [len(page) for page in pages] == [3, 3, 3, 1]
    assert [order for page in pages for order in page] == placed[::-1]


async def test_paging_is_not_disturbed_by_new_orders(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=100)
    placed = [await customer.placed({sku: 1}) for _ in range(4)]
    first = (await customer.get("/orders", limit=2)).ok()
    await customer.placed({sku: 1})
    (await customer.cancel(placed[0]["id"])).ok()
    second = (await customer.get("/orders", limit=2, cursor=first["next_cursor"])).ok()
    assert [order["id"] for order in first["items"] + second["items"]] == [order["id"] for order in placed[::-1]]
    assert second["next_cursor"] is None


async def test_a_page_that_is_just_full_has_no_next(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=2)
    for _ in range(2):
        await customer.placed({sku: 1})
    page = (await customer.get("/orders", limit=2)).ok()
    assert (len(page["items"]), page["next_cursor"]) == (2, None)


async def test_staff_see_everyone_s_orders(shop: Shop) -> None:
    sku = await shop.product(on_hand=100)
    placed = {(await shop.customer().placed({sku: 1}))["id"] for _ in range(3)}
    pages = await shop.staff.pages("/orders", PAGE_MAX_ROWS)
    ids = [order["id"] for page in pages for order in page]
    assert placed < set(ids)
    in_the_log = await shop.database.fetch("SELECT id FROM orders ORDER BY placed_seq DESC")
    assert ids == [str(row["id"]) for row in in_the_log], "all of them, in the order of the log"


async def test_a_limit_beyond_the_page_s_bound_is_reduced_to_it(shop: Shop, customer: Client) -> None:
    sku = await shop.product(on_hand=100)
    await asyncio.gather(*(customer.placed({sku: 1}) for _ in range(PAGE_MAX_ROWS + 5)))
    page = (await customer.get("/orders", limit=10**12)).ok()
    assert len(page["items"]) == PAGE_MAX_ROWS
    assert len((await customer.get("/orders", cursor=page["next_cursor"])).ok()["items"]) == 5


async def test_the_catalogue_without_repeats_or_gaps(shop: Shop, customer: Client) -> None:
    mine = {await shop.product_id(await shop.product()) for _ in range(7)}
    pages = await customer.pages("/products", 3)
    ids = [product["id"] for page in pages for product in page]
    assert {len(page) for page in pages[:-1]} == {3}
    assert mine <= set(ids)
    assert len(ids) == len(set(ids))
    assert len(ids) == await shop.database.fetchval("SELECT count(*) FROM products WHERE status = 'active'")


@pytest.mark.parametrize("limit", ["0", "-1", "1.5", "abc", "", "null", "9" * 5_000])
@pytest.mark.parametrize("path", ["/orders", "/products", "/events", "/dead-letters"])
async def test_an_invalid_limit_is_refused(shop: Shop, path: str, limit: str) -> None:
    assert (await shop.staff.get(path, limit=limit)).pointers() == {"/query/limit"}


def _cursor(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "cursor"),
    [
        *(
            (path, cursor)
            for path in ("/orders", "/products", "/dead-letters")
            for cursor in ("A", "_w", "é", "A" * 201)
        ),
        ("/orders", ""),
        ("/orders", "!!!!"),
        ("/orders", _cursor("7x")),
        ("/orders", _cursor("PRODUCT-1")),
        ("/products", _cursor("\x00")),
        ("/dead-letters", _cursor("x")),
        ("/dead-letters", _cursor("2026-11-22T00:00:00+00:00 0")),
        ("/dead-letters", _cursor("2026-11-22T00:00:00 0 1-1")),
        ("/dead-letters", _cursor("2026-11-22T00:00:00+00:00 99999999 1-1")),
        ("/dead-letters", _cursor("2026-11-22T00:00:00+00:00 0 \x00")),
        ("/dead-letters", _cursor("0001-01-01T00:00:00+23:59 0 1-1")),
    ],
)
async def test_a_foreign_cursor_is_refused(shop: Shop, path: str, cursor: str) -> None:
    assert (await shop.staff.get(path, cursor=cursor)).pointers() == {"/query/cursor"}
