"""Admins put what SKUs cost on price lists and in other currencies; from the next request on, checkouts pay it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.api import API, Client
from tests.e2e.importing import brought_in, counts, errors, sheet
from tests.e2e.people import newcomer, sign_in
from tests.e2e.shop import Shop


@pytest.fixture
async def admin(shop: Shop) -> AsyncIterator[Client]:
    """An admin of a shop without terms, whose own are taken back in the end: other tests share the shop."""
    await shop.take_terms_back()
    yield shop.client("admin", "shop-admin")
    await shop.take_terms_back()


async def _list(admin: Client, **said: Any) -> str:
    """The path of the prices of a new price list."""
    path = f"/terms/price-lists/{uuid4()}"
    (await admin.put(path, {"name": "Sale", **said})).ok()
    return f"{path}/prices"


async def test_a_price_that_changes_between_the_quote_and_the_order_is_told(shop: Shop, admin: Client) -> None:
    sku, ann, path = await shop.product(10, price_minor=1000), shop.customer(), await _list(admin)
    put = (await admin.put(f"{path}/{sku}", {"prices": [{"currency": "GBP", "price_minor": 800}]})).ok()
    assert put["prices"][0] == {
        "price_list_id": path.split("/")[3],
        "currency": "GBP",
        "min_quantity": 1,
        "price_minor": 800,
    }
    checkout = (await ann.post("/checkouts", {"lines": [{"sku": sku, "quantity": 2}]})).ok(201)
    (line,) = checkout["quote"]["lines"]
    assert (line["unit_price_minor"], line["own_price_minor"]) == (800, 1000)
    complete = f"/checkouts/{checkout['id']}/complete"
    assert (await admin.delete(f"{path}/{sku}")).status == 204
    refused = (await ann.post(complete, {"expected_total_minor": 1600})).problem(409, "checkout_changed")
    assert refused["current_total_minor"] == 2000
    order = (await ann.post(complete, {"expected_total_minor": 2000})).ok(201)
    assert order["quote"]["lines"][0]["price_list_id"] is None


async def test_what_has_no_price_in_a_currency_is_not_sold_in_it(shop: Shop, admin: Client) -> None:
    sku, ann = await shop.product(10, price_minor=1000), shop.customer()
    path = f"/products/{await shop.product_id(sku)}/variants/{sku}/prices"
    body = {"currency": "EUR", "lines": [{"sku": sku, "quantity": 1}]}
    checkout = (await ann.post("/checkouts", body)).ok(201)
    assert [lacking["code"] for lacking in checkout["requirements"]] == ["not_sold_in_currency"]
    (await admin.put(path, {"prices": [{"currency": "EUR", "price_minor": 1250}]})).ok()
    found = (await ann.get(f"/checkouts/{checkout['id']}")).ok()
    assert (found["quote"]["total_minor"], found["requirements"]) == (1250, [])
    assert (await shop.staff.get(path)).ok()["prices"][0]["price_minor"] == 1250


async def test_what_is_shown_to_a_buyer_is_what_their_checkout_costs(shop: Shop, admin: Client) -> None:
    """By their groups, country, currency and quantity; and the product's page stays everybody's."""
    skus = [await shop.product(100, price_minor=1000) for _ in range(2)]
    person = await newcomer(shop)
    ann = (await sign_in(shop, person)).client
    (await admin.put(f"/customers/{person.account_id}", {"groups": ["gold"]})).ok()
    gold, abroad = await _list(admin, groups=["gold"]), await _list(admin, countries=["DE"])
    for path, *prices in ((gold, ("GBP", 900, 1), ("GBP", 700, 10)), (abroad, ("EUR", 1250, 1))):
        body = [{"currency": each[0], "price_minor": each[1], "min_quantity": each[2]} for each in prices]
        (await admin.put(f"{path}/{skus[0]}", {"prices": body})).ok()
    asked = "/prices?" + "&".join(f"sku={sku}" for sku in (*skus, skus[0], "NO-SUCH-SKU"))

    async def shown(client: Client, more: str = "") -> list[tuple[str | None, list[tuple[int, int]]]]:
        items = (await client.get(f"{asked}{more}")).ok()["items"]
        assert [item["sku"] for item in items] == [*skus, "NO-SUCH-SKU"]
        assert (items[2]["lacks"], items[2]["prices"]) == ("unknown_sku", [])
        return [
            (item["lacks"], [(each["min_quantity"], each["price_minor"]) for each in item["prices"]])
            for item in items[:2]
        ]

    own = (None, [(1, 1000)])
    lacks = ("not_sold_in_currency", list[tuple[int, int]]())
    for client in (shop.anybody, shop.customer()):
        assert await shown(client) == [own, own]
        assert await shown(client, "&currency=EUR&country=DE") == [(None, [(1, 1250)]), lacks]
        assert await shown(client, "&currency=EUR") == [lacks, lacks]
    assert await shown(ann) == [(None, [(1, 900), (10, 700)]), own]
    for quantity, unit_minor in ((1, 900), (9, 900), (10, 700)):
        lines = [{"sku": skus[0], "quantity": quantity}]
        quote = (await ann.post("/checkouts", {"lines": lines})).ok(201)["quote"]
        assert quote["lines"][0]["unit_price_minor"] == unit_minor
    product = (await ann.get(f"/products/{await shop.product_id(skus[0])}")).ok()
    assert product["variants"][0]["price_minor"] == 1000

    everybody_s, hers = await shop.anybody.get(asked), await ann.get(asked)
    assert (everybody_s.headers["Cache-Control"], hers.headers["Cache-Control"]) == ("no-cache", "no-store")
    known = {"If-None-Match": everybody_s.headers["ETag"]}
    assert (await shop.anybody.request("GET", API + asked, headers=known)).status == 304
    many = "&".join(f"sku=S{number}" for number in range(51))
    for wrong in ("", "?sku=", f"?{many}", f"?sku={skus[0]}&currency=XXX", f"?sku={skus[0]}&country=Germany"):
        (await shop.anybody.get(f"/prices{wrong}")).problem(422, "invalid_request")


async def test_a_sale_is_shown_against_what_it_reduces(shop: Shop, admin: Client) -> None:
    sku, path = await shop.product(10, price_minor=1000), await _list(admin)
    (await admin.put(f"{path}/{sku}", {"prices": [{"currency": "GBP", "price_minor": 800}]})).ok()
    started = datetime.now(UTC)
    (await admin.put(path.removesuffix("/prices"), {"name": "Sale", "starts_at": started.isoformat()})).ok()
    (item,) = (await shop.anybody.get(f"/prices?sku={sku}")).ok()["items"]
    assert item == {
        "sku": sku,
        "currency": "GBP",
        "lacks": None,
        "prices": [
            {
                "min_quantity": 1,
                "price_minor": 800,
                "price_list_id": path.split("/")[3],
                "compare_at_minor": 1000,
                "lowest_price_minor": 1000,
            }
        ],
    }
    assert (await admin.delete(f"{path}/{sku}")).status == 204
    variant = f"/products/{await shop.product_id(sku)}/variants/{sku}"
    (await admin.patch(variant, {"price_minor": 900, "compare_at_minor": 1000})).ok()
    ((own,),) = [item["prices"] for item in (await shop.anybody.get(f"/prices?sku={sku}")).ok()["items"]]
    assert (own["price_minor"], own["compare_at_minor"], own["lowest_price_minor"]) == (900, 1000, 1000)


async def test_what_is_on_a_list_is_listed_by_sku_and_page(shop: Shop, admin: Client) -> None:
    path, skus = await _list(admin), sorted([await shop.product() for _ in range(3)])
    for sku in skus:
        (await admin.put(f"{path}/{sku}", {"prices": [{"currency": "GBP", "price_minor": 1}]})).ok()
    first = (await shop.staff.get(f"{path}?limit=2")).ok()
    rest = (await shop.staff.get(f"{path}?limit=2&cursor={first['next_cursor']}")).ok()
    assert [each["sku"] for each in (*first["items"], *rest["items"])] == skus
    assert rest["next_cursor"] is None


async def test_what_does_not_fit_is_told_where(shop: Shop, admin: Client) -> None:
    path, sku = await _list(admin), await shop.product()
    price = {"currency": "GBP", "price_minor": 1}
    for prices, pointer in (
        ([], "/prices"),
        ([{**price, "currency": "XXX"}], "/prices/0/currency"),
        ([{**price, "price_minor": -1}], "/prices/0/price_minor"),
        ([{**price, "min_quantity": 0}], "/prices/0/min_quantity"),
    ):
        assert pointer in (await admin.put(f"{path}/{sku}", {"prices": prices})).pointers()
    (await admin.put(f"{path}/{sku}", {"prices": [price, price]})).problem(422, "invalid_request")
    (await admin.put(f"{path}/NO-SUCH", {"prices": [price]})).problem(404, "variant_not_found")
    (await admin.put(f"/terms/price-lists/{uuid4()}/prices/{sku}", {"prices": [price]})).problem(
        404, "price_list_not_found"
    )
    (await shop.staff.get(f"/products/{uuid4()}/variants/{sku}/prices")).problem(404, "variant_not_found")


async def test_prices_of_lists_are_imported_row_by_row(shop: Shop, admin: Client) -> None:
    path, sku = await _list(admin), await shop.product(price_minor=1000)
    price_list_id = path.split("/")[3]
    listed = {"sku": sku, "price_list": price_list_id, "currency": "GBP"}
    rows: list[dict[str, object]] = [
        {**listed, "price_minor": 900},
        {**listed, "price_minor": 700, "min_quantity": 10},
        {**listed, "price_minor": 800},
        {**listed, "price_minor": 1, "sku": "NO-SUCH"},
        {**listed, "price_minor": 1, "price_list": str(uuid4())},
        {**listed, "price_minor": 1, "currency": ""},
    ]
    data = sheet(rows, ("sku", "price_list", "price_minor", "currency", "min_quantity"))
    tried = await brought_in(admin, data, dry_run="true")
    assert (await shop.staff.get(path)).ok()["items"] == []
    applied = await brought_in(admin, data)
    assert counts(tried) == counts(applied) == (6, 3, 0, 3)
    assert await errors(admin, tried) == await errors(admin, applied)
    (found,) = (await shop.staff.get(path)).ok()["items"]
    assert [(each["min_quantity"], each["price_minor"]) for each in found["prices"]] == [(1, 800), (10, 700)]
    assert counts(await brought_in(admin, data))[2] == 1, "that which already was so"


async def test_a_reduced_price_is_shown_with_the_lowest_one_before(shop: Shop, admin: Client) -> None:
    sku = await shop.product(price_minor=1000)
    path = f"/products/{await shop.product_id(sku)}"
    (shown,) = (await admin.get(path)).ok()["variants"]
    assert shown["lowest_price_minor"] is None
    for price_minor in (900, 950):
        (await admin.patch(f"{path}/variants/{sku}", {"price_minor": price_minor})).ok()
    (await admin.patch(f"{path}/variants/{sku}", {"price_minor": 920, "compare_at_minor": 1200})).ok()
    (shown,) = (await shop.anybody.get(path)).ok()["variants"]
    assert (shown["compare_at_minor"], shown["lowest_price_minor"]) == (1200, 900)
    (listed,) = (await shop.anybody.get(f"/products?q={sku}")).ok()["items"]
    assert listed["variants"][0]["lowest_price_minor"] == 900
