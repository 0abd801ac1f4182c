"""Lists of products: pages and cursors, filters and sorting, what a search finds, and how soon a change is visible.

Each test keeps its products in its own category, so it knows what a list of them must contain.
"""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from domain.limits import PRODUCTS_PAGE_MAX, SEARCH_MAX_CHARS
from tests.e2e.api import API, Answer, Client
from tests.e2e.catalogue import Catalogue, conditional, unique, variant
from tests.e2e.shop import Shop
from tests.system import eventually_seen

# An event is seen at once, and a lost one when the tail has been silent for half a second.
SEEN_SECONDS = 1.0


class Shelf:
    """Products of one category, and lists of them as the public sees them."""

    def __init__(self, catalogue: Catalogue, anybody: Client, category_id: str) -> None:
        self.catalogue = catalogue
        self.anybody = anybody
        self.category_id = category_id

    async def put(self, name: str, *variants: dict[str, Any], **said: Any) -> dict[str, Any]:
        said = {"slug": unique("on-the-shelf"), "category_id": self.category_id, **said}
        return await self.catalogue.create(name=name, variants=list(variants), **said)

    async def answer(self, **query: str | int) -> Answer:
        return await self.anybody.get("/products", category_id=self.category_id, **query)

    async def names(self, **query: str | int) -> list[str]:
        return [item["name"] for item in (await self.answer(**query)).ok()["items"]]

    async def soon(self, names: list[str], **query: str | int) -> None:
        """Returns when both gateways agree: consecutive answers may come from either."""

        async def both() -> bool:
            return [await self.names(**query) for _ in range(6)] == [names] * 6

        await eventually_seen(f"{names} for {query}", both, within_seconds=5)


@pytest.fixture
async def shelf(shop: Shop) -> Shelf:
    catalogue = Catalogue(shop)
    return Shelf(catalogue, shop.anybody, (await catalogue.category())["id"])


def links(answer: Answer) -> dict[str, str]:
    """The targets of the Link header by their relation."""
    return {relation: target for target, relation in re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers["Link"])}


async def follow(shelf: Shelf, target: str) -> Answer:
    return await shelf.anybody.request("GET", target)


async def test_an_item_is_the_product_without_its_description(shelf: Shelf) -> None:
    product = await shelf.put("A mug", variant(), description="It holds.")
    await shelf.soon(["A mug"])
    page = (await shelf.answer()).ok()
    del product["description"]
    assert page == {"items": [product], "total": 1, "total_is_exact": True, "next_cursor": None}


async def test_pages_and_their_links(shelf: Shelf) -> None:
    for letter in "ABCDEFG":
        await shelf.put(f"Product {letter}")
    await shelf.soon([f"Product {letter}" for letter in "ABC"], sort="name", limit=3)
    answer = await shelf.answer(sort="name", limit=3)
    assert (answer.headers["X-Total-Count"], answer.ok()["total"]) == ("7", 7)
    assert links(answer).keys() == {"first", "next", "last"}
    seen = [item["name"][-1] for item in answer.json()["items"]]
    while "next" in links(answer):
        answer = await follow(shelf, links(answer)["next"])
        seen += [item["name"][-1] for item in answer.ok()["items"]]
    assert "".join(seen) == "ABCDEFG"
    assert links(answer).keys() == {"first", "prev", "last"}
    assert [item["name"] for item in (await follow(shelf, links(answer)["last"])).ok()["items"]] == ["Product G"]
    beyond = await shelf.answer(sort="name", limit=3, page=9)
    assert (beyond.ok()["items"], beyond.json()["total"]) == ([], 7)
    assert links(beyond)["prev"] == links(answer)["last"]


@pytest.mark.parametrize("sort", ["name", "-name", "price", "-price", "newest", "-newest", "relevance"])
async def test_cursors_go_through_all_in_every_order(shelf: Shelf, sort: str) -> None:
    for number in range(7):
        # Two of each name and price, so that the id decides.
        await shelf.put(f"Kettle {number // 2}", variant(price_minor=100 + number // 2))
    search = {"q": "kettle"} if sort == "relevance" else {}

    async def everything() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await shelf.answer(sort=sort, **search)).ok()["items"]
        return items if len(items) == 7 else []

    wanted = [item["id"] for item in await eventually_seen("all seven", everything, within_seconds=5)]
    answer = await shelf.answer(sort=sort, limit=2, **search)
    seen = [item["id"] for item in answer.ok()["items"]]
    while (cursor := answer.json()["next_cursor"]) is not None:
        answer = await shelf.answer(sort=sort, limit=2, cursor=cursor, **search)
        assert (answer.json()["total"], "last" in links(answer)) == (7, False)
        seen += [item["id"] for item in answer.ok()["items"]]
    assert seen == wanted


async def test_the_newest_come_first_by_default(shelf: Shelf) -> None:
    for name in ("Bowl", "apple", "Cup"):
        await shelf.put(name)
    await shelf.soon(["Cup", "apple", "Bowl"])
    assert await shelf.names(sort="newest") == ["Cup", "apple", "Bowl"]
    assert await shelf.names(sort="-newest") == ["Bowl", "apple", "Cup"]
    assert await shelf.names(sort="name") == ["apple", "Bowl", "Cup"]
    assert await shelf.names(sort="-name") == ["Cup", "Bowl", "apple"]


async def test_sorting_by_price_uses_the_cheapest_variant_that_matches(shelf: Shelf) -> None:
    await shelf.put("Both", variant(price_minor=100), variant(price_minor=900), variant(price_minor=5, active=False))
    await shelf.put("Middle", variant(price_minor=500))
    await shelf.put("Dollars", variant(price_minor=300, currency="USD"))
    await shelf.put("Nothing to sell")
    await shelf.soon(["Both", "Dollars", "Middle"], sort="price")
    assert await shelf.names(sort="-price") == ["Middle", "Dollars", "Both"]
    assert await shelf.names(sort="price", min_price=200) == ["Dollars", "Middle", "Both"]
    assert await shelf.names(sort="price", currency="GBP") == ["Both", "Middle"]
    assert await shelf.names(sort="name", min_price=200, max_price=600) == ["Dollars", "Middle"]
    assert await shelf.names(min_price=200, max_price=600, currency="USD") == ["Dollars"]
    assert await shelf.names(max_price=99) == []
    assert (await shelf.answer(sort="price")).ok()["total"] == 3
    assert (await shelf.answer()).ok()["total"] == 4


async def test_in_stock_is_what_is_available(shop: Shop, shelf: Shelf) -> None:
    sku, other = unique("STOCKED"), unique("EMPTY")
    await shelf.put("Stocked", variant(sku), variant(other))
    await shelf.put("Empty", variant())
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
    await shelf.soon(["Stocked"], in_stock="true")
    order = await shop.customer().placed({sku: 1})
    await shelf.soon([], in_stock="true")
    (await shop.staff.cancel(order["id"])).ok()
    await shelf.soon(["Stocked"], in_stock="true")
    await shelf.soon([], in_stock="true", currency="USD")
    await shelf.soon(["Empty", "Stocked"], in_stock="false")


async def test_a_category_includes_those_below_it(shelf: Shelf) -> None:
    below = await shelf.catalogue.category(parent_id=shelf.category_id)
    deepest = await shelf.catalogue.category(parent_id=below["id"])
    await shelf.put("Above")
    await shelf.put("Deepest", category_id=deepest["id"])
    await shelf.soon(["Deepest", "Above"])
    assert [item["name"] for item in (await shelf.anybody.get("/products", category_id=below["id"])).ok()["items"]] == [
        "Deepest"
    ]
    # When a category moves, so do its products.
    (await shelf.catalogue.patch(f"/categories/{below['id']}", {"parent_id": None})).ok()
    await shelf.soon(["Above"])
    assert (await shelf.anybody.get("/products", category_id=str(uuid4()))).ok()["total"] == 0


async def test_words_are_found_in_the_name_before_the_description(shelf: Shelf) -> None:
    await shelf.put("A wooden box", description="Goes well with lanterns.")
    await shelf.put("White metal lantern")
    await shelf.put("Lantern of red metal", description="Not white.")
    await shelf.soon(["White metal lantern", "Lantern of red metal", "A wooden box"], q="lantern")
    assert await shelf.names(q="LANTERNS") == await shelf.names(q="lantern")
    assert await shelf.names(q="white lantern") == ["White metal lantern", "Lantern of red metal"]
    assert await shelf.names(q='"metal lantern"') == ["White metal lantern"]
    assert await shelf.names(q="lantern -red", sort="name") == ["A wooden box", "White metal lantern"]
    assert await shelf.names(q="box or red", sort="name") == ["A wooden box", "Lantern of red metal"]
    assert await shelf.names(q="   ", sort="name") == await shelf.names(sort="name")


@pytest.mark.parametrize("q", ["lantren", "lanten", "wihte lantern", "chritsmas"])
async def test_similar_names_are_found_if_nothing_else_is(shelf: Shelf, q: str) -> None:
    await shelf.put("White metal lantern")
    await shelf.put("Christmas tree")
    await shelf.put("Something else")
    await shelf.soon(["Christmas tree" if q.startswith("chr") else "White metal lantern"], q=q)


async def test_a_sku_and_a_barcode_are_found_as_a_whole(shelf: Shelf) -> None:
    sku, barcode = unique("CODE"), unique("50123456")
    await shelf.put("Coded", variant(sku, barcode=barcode), variant())
    await shelf.put(f"The box of {sku}")
    await shelf.soon(["Coded", f"The box of {sku}"], q=sku)
    assert (await shelf.names(q=sku.lower()))[0] == "Coded"
    assert await shelf.names(q=barcode) == ["Coded"]


@pytest.mark.parametrize(
    "q",
    [
        "!!!",
        "'",
        "&|!():*<->",
        "a & b",
        "-",
        "- -",
        "-nothing",
        '"',
        "%",
        "\\",
        "🌊",
        "or",
        "the",
        "x" * SEARCH_MAX_CHARS,
    ],
)
async def test_no_search_is_an_error(shelf: Shelf, q: str) -> None:
    await shelf.put("A thing")
    for more in ({}, {"sort": "price"}, {"in_stock": "true"}):
        (await shelf.answer(q=q, **more)).ok()


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": 0}, "/query/limit"),
        ({"limit": PRODUCTS_PAGE_MAX + 1}, "/query/limit"),
        ({"limit": "many"}, "/query/limit"),
        ({"page": 0}, "/query/page"),
        ({"page": 10**30}, "/query/page"),
        ({"category_id": "nowhere"}, "/query/category_id"),
        ({"min_price": -1}, "/query/min_price"),
        ({"max_price": 2**63}, "/query/max_price"),
        ({"currency": "gbp"}, "/query/currency"),
        ({"in_stock": "perhaps"}, "/query/in_stock"),
        ({"sort": "colour"}, "/query/sort"),
        ({"sort": "relevance"}, "/query"),
        ({"status": "sold"}, "/query/status"),
        ({"q": "x" * (SEARCH_MAX_CHARS + 1)}, "/query/q"),
        ({"q": "a\x00b"}, "/query/q"),
        ({"cursor": "nonsense"}, "/query/cursor"),
        ({"cursor": "bm9uc2Vuc2U"}, "/query/cursor"),
        ({"cursor": "x", "page": 2}, "/query"),
    ],
)
async def test_an_invalid_query_is_refused(shop: Shop, query: dict[str, str | int], pointer: str) -> None:
    assert (await shop.anybody.get("/products", **query)).pointers() == {pointer}


async def test_a_cursor_belongs_to_the_sorting_it_came_from(shelf: Shelf) -> None:
    for _ in range(3):
        await shelf.put("Kettle", variant())
    await shelf.soon(["Kettle"] * 3)
    cursor = (await shelf.answer(sort="price", limit=1)).ok()["next_cursor"]
    for sort in ("name", "newest"):
        assert (await shelf.answer(sort=sort, cursor=cursor)).pointers() == {"/query/cursor"}


async def test_an_unchanged_page_is_not_sent_again(shelf: Shelf) -> None:
    await shelf.put("Kettle")
    await shelf.soon(["Kettle"])
    path = f"/products?category_id={shelf.category_id}"
    tag = (await shelf.answer()).headers["ETag"]
    assert tag.startswith('W/"')
    for _ in range(4):
        answer = await conditional(shelf.anybody, path, tag)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    await shelf.put("Pot")
    await shelf.soon(["Pot", "Kettle"])
    assert (await conditional(shelf.anybody, path, tag)).ok()["total"] == 2


async def test_equivalent_queries_get_the_same_page(shop: Shop, shelf: Shelf) -> None:
    for number in range(30):
        await shelf.put(f"A product whose name makes the page worth compressing, number {number}")
    category = shelf.category_id

    async def settled() -> bool:
        return [(await shelf.answer()).ok()["total"] for _ in range(6)] == [30] * 6

    await eventually_seen("all thirty", settled, within_seconds=5)
    wanted = (await shelf.answer()).ok()
    spellings = (
        f"?category_id={category}",
        f"?limit=20&category_id={category}&page=1",
        f"?category_id={category.upper()}&limit=20",
        f"?category_id=nonsense&category_id={category}",
    )
    for spelling in spellings:
        for headers in ({}, {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "identity"}):
            for client in (shop.anybody, shop.customer()):
                for _ in range(3):
                    answer = await client.request("GET", f"{API}/products{spelling}", headers=headers)
                    assert answer.ok() == wanted  # aiohttp has unpacked it
                    assert ("Content-Encoding" in answer.headers) == (headers != {"Accept-Encoding": "identity"})
                    assert answer.headers["Vary"] == "Accept-Encoding"
                    assert answer.headers["Cache-Control"] == "no-cache"


async def test_a_bad_token_is_refused_even_where_none_is_needed(shop: Shop) -> None:
    (await shop.anybody.get("/products")).ok()
    for _ in range(4):
        (await shop.with_token("nonsense").get("/products")).problem(401, "invalid_token")


@pytest.fixture
async def gateways(shop: Shop) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Many persistent connections, so that both gateway processes are asked."""
    sessions = [aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) for _ in range(8)]
    yield sessions
    for session in sessions:
        await session.close()


async def test_every_gateway_shows_a_new_price_within_a_second(
    shop: Shop, shelf: Shelf, gateways: list[aiohttp.ClientSession]
) -> None:
    sku = unique("PRICED")
    product = await shelf.put("Kettle", variant(sku, price_minor=1))
    clients = [Client(session, shop.system.url, None) for session in gateways]

    async def prices() -> set[int]:
        found = set()
        for client in clients:
            for item in (await client.get("/products", category_id=shelf.category_id)).ok()["items"]:
                found.add(item["variants"][0]["price_minor"])
        return found

    for price in range(2, 8):
        (await shelf.catalogue.put_variant(product["id"], sku, price_minor=price)).ok()

        async def seen(price: int = price) -> bool:
            return await prices() == {price}

        await eventually_seen(f"the price {price} everywhere", seen, within_seconds=SEEN_SECONDS)
