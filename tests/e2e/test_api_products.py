"""Products: created, changed, priced and archived by admins; visible to everyone while they are active."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.limits import (
    PRODUCT_MAX_VARIANTS,
)
from tests.e2e.api import API
from tests.e2e.catalogue import Catalogue, unique, variant
from tests.e2e.shop import Shop


async def test_a_product_comes_back_as_it_was_sent(shop: Shop, catalogue: Catalogue) -> None:
    category = await catalogue.category()
    sku = unique("SKU")
    answer = await catalogue.admin.post(
        "/products",
        {
            "name": "  Émail Mug, 2 l  ",
            "slug": (slug := unique("mug")),
            "description": "It holds\nwhat you pour.",
            "category_id": category["id"],
            "status": "active",
            "variants": [
                {
                    "sku": sku.lower(),
                    "price_minor": 1250,
                    "currency": "JPY",
                    "title": "Blue",
                    "compare_at_minor": 1500,
                    "weight_grams": 340,
                    "barcode": "5012345678900",
                    "attributes": {"colour": "blue", "größe": "2 l"},
                }
            ],
        },
        wait=None,
    )
    product = answer.ok(201)
    assert answer.headers["Location"] == f"{API}/products/{product['id']}"
    assert answer.headers["ETag"] == f'"{product["version"]}"'
    assert UUID(product["id"]).version == 7
    assert {name: product[name] for name in ("name", "slug", "description", "category_id", "status")} == {
        "name": "Émail Mug, 2 l",
        "slug": slug,
        "description": "It holds\nwhat you pour.",
        "category_id": category["id"],
        "status": "active",
    }
    assert product["variants"] == [
        {
            "sku": sku,
            "title": "Blue",
            "price_minor": 1250,
            "currency": "JPY",
            "compare_at_minor": 1500,
            "lowest_price_minor": None,
            "weight_grams": 340,
            "barcode": "5012345678900",
            "attributes": {"colour": "blue", "größe": "2 l"},
            "active": True,
            "on_sale": True,
            "kind": "goods",
            "tax_class": "standard",
        }
    ]
    for key in (product["id"], slug, product["id"].upper()):
        assert (await shop.anybody.get(f"/products/{key}")).ok() == product


async def test_a_slug_is_derived_from_the_name_if_none_is_given(catalogue: Catalogue) -> None:
    word = unique("thing")
    assert (await catalogue.create(name=f"  Crème & Sugar's {word}!"))["slug"] == f"creme-sugars-{word}"
    unspeakable = await catalogue.create(name="茶碗")
    assert unspeakable["slug"] == unspeakable["id"]


async def test_a_product_can_be_ordered_while_it_is_active(shop: Shop, catalogue: Catalogue) -> None:
    sku = unique("SKU")
    product = await catalogue.create(status="draft", variants=[variant(sku, price_minor=700)])
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 5})).ok()
    customer = shop.customer()
    (await customer.place({sku: 1})).problem(409, "not_on_sale")

    (await catalogue.patch(f"/products/{product['id']}", {"status": "active"})).ok()
    assert (await customer.placed({sku: 1}))["total_minor"] == 700
    (await catalogue.put_variant(product["id"], sku, price_minor=900)).ok()
    assert (await customer.placed({sku: 1}))["total_minor"] == 900
    (await catalogue.put_variant(product["id"], sku, active=False)).ok()
    (await customer.place({sku: 1})).problem(409, "not_on_sale")
    (await catalogue.put_variant(product["id"], sku, price_minor=100)).ok()
    assert (await customer.placed({sku: 1}))["total_minor"] == 100
    (await catalogue.archive(product["id"])).ok()
    (await customer.place({sku: 1})).problem(409, "not_on_sale")


async def test_inactive_products_are_for_staff(shop: Shop, catalogue: Catalogue) -> None:
    word = unique("hidden")
    draft = await catalogue.create(name=word, status="draft")
    path = f"/products/{draft['slug']}"
    assert (await shop.staff.get(path)).ok() == draft
    assert (await shop.staff.get("/products", q=word, status="draft")).ok()["items"][0]["id"] == draft["id"]
    assert (await shop.staff.get("/products", q=word, status="any")).ok()["total"] == 1
    assert (await shop.staff.get("/products", q=word)).ok()["total"] == 0
    assert (await shop.staff.get(path)).headers["Cache-Control"] == "no-store"
    for client in (shop.anybody, shop.customer()):
        (await client.get(path)).problem(404, "product_not_found")
        assert (await client.get("/products", q=word)).ok()["total"] == 0
    (await shop.anybody.get("/products", status="draft")).problem(401, "unauthenticated")
    (await shop.customer().get("/products", status="archived")).problem(403, "forbidden")
    assert (await catalogue.archive(draft["id"])).ok()["status"] == "archived"
    assert (await shop.staff.get("/products", q=word, status="archived")).ok()["total"] == 1


@pytest.mark.parametrize("sees", [None, "catalogue:read", "catalogue:write"])
async def test_inactive_products_need_a_scope_on_every_endpoint(
    shop: Shop, catalogue: Catalogue, sees: str | None
) -> None:
    word, skus = unique("hidden"), {status: unique("SKU") for status in ("active", "draft", "archived")}
    made = {
        status: await catalogue.create(name=f"{word} {status}", status=status, variants=[variant(sku, price_minor=700)])
        for status, sku in skus.items()
    }
    scopes = ["orders:read", "inventory:read", "exports:read", *([sees] if sees else [])]
    body = {"name": "scanner", "role": "admin" if sees == "catalogue:write" else "staff", "scopes": scopes}
    asked = await shop.client("admin", "makes-keys").post("/keys", body, wait=None)
    key = shop.with_token(asked.ok(201)["key"])
    found = set(skus) if sees else {"active"}

    for status, product in made.items():
        for name in (product["id"], product["slug"]):
            for method in ("GET", "HEAD"):
                answer = await key.request(method, f"{API}/products/{name}")
                assert answer.status == (200 if status in found else 404), (status, method)
        answer = await key.get(f"/inventory/{skus[status]}")
        assert answer.status == (200 if status in found else 404), status
        if status != "active" and sees is None:
            (await key.get("/products", q=word, status=status)).problem(403, "forbidden")
    if sees is None:
        (await key.get("/products", q=word, status="any")).problem(403, "forbidden")
    else:
        assert (await key.get("/products", q=word, status="any")).ok()["total"] == 3
    assert (await key.get("/products", q=word)).ok()["total"] == 1
    shown = {
        product["sku"]
        for status in skus
        for product in (await key.get("/inventory", product_id=made[status]["id"])).ok()["items"]
    }
    assert shown == {skus[status] for status in found}
    exported = (await key.get("/exports/products.csv")).body.decode()
    assert {status for status, sku in skus.items() if f",{sku}," in exported} == found


async def test_null_takes_a_product_out_of_its_category(catalogue: Catalogue) -> None:
    product = await catalogue.create(category_id=(await catalogue.category())["id"])
    path = f"/products/{product['id']}"
    assert (await catalogue.patch(path, {"name": "It stays where it is"})).ok()["category_id"] == product["category_id"]
    assert (await catalogue.patch(path, {"category_id": None})).ok()["category_id"] is None


async def test_a_slug_and_a_sku_belong_to_one_product(catalogue: Catalogue) -> None:
    sku = unique("SKU")
    first = await catalogue.create(variants=[variant(sku)])
    second = await catalogue.create()
    same_slug = {"name": "Another", "slug": first["slug"]}
    assert (await catalogue.admin.post("/products", same_slug)).problem(409, "slug_taken")["slug"] == first["slug"]
    (await catalogue.patch(f"/products/{second['id']}", {"slug": first["slug"]})).problem(409, "slug_taken")
    same_sku = {"name": unique("Another"), "variants": [variant(sku)]}
    assert (await catalogue.admin.post("/products", same_sku)).problem(409, "sku_taken")["sku"] == sku
    (await catalogue.put_variant(second["id"], sku)).problem(409, "sku_taken")
    (await catalogue.patch(f"/products/{first['id']}", {"slug": first["slug"]})).ok()


async def test_of_many_concurrent_claims_to_one_slug_and_one_sku_one_wins(catalogue: Catalogue) -> None:
    slug, sku = unique("wanted"), unique("WANTED")
    bodies: list[dict[str, Any]] = [{"name": "Same slug", "slug": slug} for _ in range(8)]
    bodies += [{"name": unique("Same SKU"), "variants": [variant(sku)]} for _ in range(8)]
    answers = await asyncio.gather(*(catalogue.admin.post("/products", body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [201] * 2 + [409] * 14
    codes = [answer.json()["code"] for answer in answers if answer.status == 409]
    assert (codes.count("slug_taken"), codes.count("sku_taken")) == (7, 7)


async def test_unknown_products_and_categories(shop: Shop, catalogue: Catalogue) -> None:
    nothing = uuid4()
    (await catalogue.patch(f"/products/{nothing}", {"name": "Nothing"})).problem(404, "product_not_found")
    (await catalogue.put_variant(str(nothing), "SKU")).problem(404, "product_not_found")
    (await catalogue.archive(str(nothing))).problem(404, "product_not_found")
    lost = {"name": unique("Lost"), "category_id": str(nothing)}
    problem = (await catalogue.admin.post("/products", lost)).problem(422, "unknown_category")
    assert problem["category_id"] == str(nothing)
    product = await catalogue.create()
    (await catalogue.patch(f"/products/{product['id']}", {"category_id": str(nothing)})).problem(
        422, "unknown_category"
    )
    for key in (nothing, "no-such-product", "%00", "a%2Fb", "Ä", "x" * 300, "'; DROP TABLE products;--"):
        answer = await shop.anybody.get(f"/products/{key}")
        assert answer.status == 404, answer.body


async def test_the_number_of_variants_is_limited(catalogue: Catalogue) -> None:
    prefix = unique("MANY")
    many = [variant(f"{prefix}-{number:03}") for number in range(PRODUCT_MAX_VARIANTS)]
    product = await catalogue.create(variants=many)
    assert [one["sku"] for one in product["variants"]] == [one["sku"] for one in many]
    (await catalogue.put_variant(product["id"], f"{prefix}-MORE")).problem(409, "too_many_variants")
    (await catalogue.put_variant(product["id"], many[0]["sku"], price_minor=7)).ok()
    body = {"name": "Too many", "variants": [*many, variant()]}
    assert (await catalogue.admin.post("/products", body)).pointers() == {"/variants"}


async def test_without_waiting_the_answer_says_where_to_look(catalogue: Catalogue) -> None:
    for preference in ("wait=0", "respond-async"):
        body = {"name": unique("Later"), "status": "active"}
        accepted = (await catalogue.write("POST", "/products", body, headers={"Prefer": preference})).ok(202)
        assert (await catalogue.admin.settled(accepted["command_id"]))["status"] == "applied"
        assert (await catalogue.admin.get(f"/products/{accepted['id']}")).ok()["name"] == body["name"]


async def test_a_repeated_request_creates_one_product(catalogue: Catalogue) -> None:
    body, key = {"name": unique("Once")}, unique("key")
    first = await catalogue.admin.post("/products", body, key=key)
    again = await catalogue.admin.post("/products", body, key=key)
    assert again.ok(201) == first.ok(201)
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_only_admins_write(shop: Shop, catalogue: Catalogue) -> None:
    product = await catalogue.create()
    path = f"/products/{product['id']}"
    asked = (
        ("POST", "/products", {"name": "Mine"}),
        ("PATCH", path, {"name": "Mine"}),
        ("PUT", f"{path}/variants/SKU", {"price_minor": 1, "currency": "GBP"}),
        ("POST", f"{path}/archive", None),
    )
    for method, where, body in asked:
        (await catalogue.write(method, where, body, client=shop.anybody)).problem(401, "unauthenticated")
        for client in (shop.customer(), shop.staff):
            (await catalogue.write(method, where, body, client=client)).problem(403, "forbidden")
    assert (await catalogue.admin.get(path)).ok() == product
