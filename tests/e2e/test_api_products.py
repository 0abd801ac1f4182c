"""Products: made, changed, priced and archived by admins; seen by all while they are active."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.limits import (
    ATTRIBUTE_MAX_CHARS,
    BARCODE_MAX_CHARS,
    DESCRIPTION_MAX_CHARS,
    NAME_MAX_CHARS,
    PRICE_MAX_MINOR,
    PRODUCT_MAX_VARIANTS,
    SKU_MAX_CHARS,
    SLUG_MAX_CHARS,
    VARIANT_MAX_ATTRIBUTES,
    WEIGHT_MAX_GRAMS,
)
from tests.e2e.api import API, Client
from tests.e2e.catalogue import Catalogue, conditional, unique, variant
from tests.e2e.shop import Shop


@pytest.fixture
def catalogue(shop: Shop) -> Catalogue:
    return Catalogue(shop)


async def test_a_product_comes_back_as_it_was_said(shop: Shop, catalogue: Catalogue) -> None:
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
            "weight_grams": 340,
            "barcode": "5012345678900",
            "attributes": {"colour": "blue", "größe": "2 l"},
            "active": True,
            "on_sale": True,
        }
    ]
    for key in (product["id"], slug, product["id"].upper()):
        assert (await shop.anybody.get(f"/products/{key}")).ok() == product


async def test_a_slug_is_made_of_the_name_if_none_is_given(catalogue: Catalogue) -> None:
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


async def test_what_is_not_active_is_for_staff(shop: Shop, catalogue: Catalogue) -> None:
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
async def test_what_is_not_active_takes_a_scope_at_every_door(
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


async def test_every_change_is_a_version_and_what_changes_nothing_is_none(catalogue: Catalogue) -> None:
    sku = unique("SKU")
    product = await catalogue.create(variants=[variant(sku)])
    path, version = f"/products/{product['id']}", product["version"]
    changed = await catalogue.patch(path, {"name": "Another name", "slug": None})
    assert changed.headers["ETag"] == f'"{version + 1}"'
    assert (changed.ok()["name"], changed.ok()["slug"]) == ("Another name", product["slug"])
    assert (await catalogue.patch(path, {"name": "Another name"})).ok()["version"] == version + 1
    assert (await catalogue.patch(path, {})).ok()["version"] == version + 1
    assert (await catalogue.put_variant(product["id"], sku, price_minor=250)).ok()["version"] == version + 1
    assert (await catalogue.put_variant(product["id"], sku, price_minor=251)).ok()["version"] == version + 2
    assert (await catalogue.put_variant(product["id"], unique("SKU"))).ok(201)["version"] == version + 3
    assert (await catalogue.archive(product["id"])).ok()["version"] == version + 4
    assert (await catalogue.archive(product["id"])).ok()["version"] == version + 4


async def test_a_category_is_left_by_saying_null(catalogue: Catalogue) -> None:
    product = await catalogue.create(category_id=(await catalogue.category())["id"])
    path = f"/products/{product['id']}"
    assert (await catalogue.patch(path, {"name": "It stays where it is"})).ok()["category_id"] == product["category_id"]
    assert (await catalogue.patch(path, {"category_id": None})).ok()["category_id"] is None


async def test_whoever_read_an_older_version_changes_nothing(catalogue: Catalogue) -> None:
    sku = unique("SKU")
    product = await catalogue.create(variants=[variant(sku)])
    path, old = f"/products/{product['id']}", product["version"]
    new = (await catalogue.patch(path, {"name": "The first to change it"}, version=old)).ok()["version"]
    problem = (await catalogue.patch(path, {"name": "Too late"}, version=old)).problem(412, "version_conflict")
    assert (problem["version"], problem["expected_version"]) == (new, old)
    (await catalogue.put_variant(product["id"], sku, version=old)).problem(412, "version_conflict")
    (await catalogue.archive(product["id"], version=old)).problem(412, "version_conflict")
    assert (await catalogue.put_variant(product["id"], sku, version=new)).ok()["name"] == "The first to change it"


@pytest.mark.parametrize("tag", ['W/"{}"', "{}", '"{}x"', '"0"', '"99999999999999999999"', "nonsense", '"", "x"'])
async def test_if_match_is_only_met_by_the_tag_as_it_was_given(catalogue: Catalogue, tag: str) -> None:
    product = await catalogue.create()
    given = {"If-Match": tag.format(product["version"])}
    answer = await catalogue.write("PATCH", f"/products/{product['id']}", {"name": "Changed"}, headers=given)
    answer.problem(412, "version_conflict")


@pytest.mark.parametrize("tag", ["*", '"{}"', '"7000", "{}"', '"abc","{}"'])
async def test_if_match_may_name_several_of_which_the_newest_counts(catalogue: Catalogue, tag: str) -> None:
    product = await catalogue.create()
    given = {"If-Match": tag.format(product["version"])}
    answer = await catalogue.write("PATCH", f"/products/{product['id']}", {"name": "Changed"}, headers=given)
    if "7000" in tag:
        answer.problem(412, "version_conflict")
    else:
        answer.ok()


async def test_of_many_who_change_one_version_at_once_one_wins(catalogue: Catalogue) -> None:
    product = await catalogue.create()
    path, version = f"/products/{product['id']}", product["version"]
    names = [f"Name {number}" for number in range(10)]
    answers = await asyncio.gather(*(catalogue.patch(path, {"name": name}, version=version) for name in names))
    (won,) = (answer.ok() for answer in answers if answer.status == 200)
    assert [answer.status for answer in answers].count(412) == 9
    assert won["version"] == version + 1
    assert (await catalogue.admin.get(path)).ok() == won


async def test_a_client_that_has_it_is_told_so(shop: Shop, catalogue: Catalogue) -> None:
    product = await catalogue.create()
    path = f"/products/{product['slug']}"
    tag = (await shop.anybody.get(path)).headers["ETag"]
    for given in (tag, f"W/{tag}", f'"nonsense", {tag}', "*"):
        answer = await conditional(shop.anybody, path, given)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    for other in ('"0"', '""', "nonsense", tag.strip('"')):
        assert (await conditional(shop.anybody, path, other)).ok() == product
    (await catalogue.patch(f"/products/{product['id']}", {"name": "Changed"})).ok()
    assert (await conditional(shop.anybody, path, tag)).ok()["name"] == "Changed"


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


async def test_of_many_who_want_one_slug_and_one_sku_at_once_one_gets_them(catalogue: Catalogue) -> None:
    slug, sku = unique("wanted"), unique("WANTED")
    bodies: list[dict[str, Any]] = [{"name": "Same slug", "slug": slug} for _ in range(8)]
    bodies += [{"name": unique("Same SKU"), "variants": [variant(sku)]} for _ in range(8)]
    answers = await asyncio.gather(*(catalogue.admin.post("/products", body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [201] * 2 + [409] * 14
    codes = [answer.json()["code"] for answer in answers if answer.status == 409]
    assert (codes.count("slug_taken"), codes.count("sku_taken")) == (7, 7)


async def test_what_the_catalogue_does_not_have(shop: Shop, catalogue: Catalogue) -> None:
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


async def test_a_product_has_so_many_variants_and_not_one_more(catalogue: Catalogue) -> None:
    prefix = unique("MANY")
    many = [variant(f"{prefix}-{number:03}") for number in range(PRODUCT_MAX_VARIANTS)]
    product = await catalogue.create(variants=many)
    assert [one["sku"] for one in product["variants"]] == [one["sku"] for one in many]
    (await catalogue.put_variant(product["id"], f"{prefix}-MORE")).problem(409, "too_many_variants")
    (await catalogue.put_variant(product["id"], many[0]["sku"], price_minor=7)).ok()
    body = {"name": "Too many", "variants": [*many, variant()]}
    assert (await catalogue.admin.post("/products", body)).pointers() == {"/variants"}


async def test_whoever_does_not_wait_is_told_where_to_look(catalogue: Catalogue) -> None:
    for preference in ("wait=0", "respond-async"):
        body = {"name": unique("Later"), "status": "active"}
        accepted = (await catalogue.write("POST", "/products", body, headers={"Prefer": preference})).ok(202)
        assert (await catalogue.admin.settled(accepted["command_id"]))["status"] == "applied"
        assert (await catalogue.admin.get(f"/products/{accepted['id']}")).ok()["name"] == body["name"]


async def test_a_repeated_request_makes_one_product(catalogue: Catalogue) -> None:
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


FITTING = {"name": "Fits", "variants": []}


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"name": "x"}, "/name"),
        ({"name": "  x  "}, "/name"),
        ({"name": "x" * (NAME_MAX_CHARS + 1)}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"name": None}, "/name"),
        ({"name": 7}, "/name"),
        ({"slug": "Not-A-Slug"}, "/slug"),
        ({"slug": "a--b"}, "/slug"),
        ({"slug": "a\nb"}, "/slug"),
        ({"slug": "x" * (SLUG_MAX_CHARS + 1)}, "/slug"),
        ({"description": "x" * (DESCRIPTION_MAX_CHARS + 1)}, "/description"),
        ({"description": "\x1b[2J"}, "/description"),
        ({"category_id": "nowhere"}, "/category_id"),
        ({"status": "sold"}, "/status"),
        ({"id": str(uuid4())}, "/id"),
        ({"version": 9}, "/version"),
        ({"on_sale": True}, "/on_sale"),
        ({"variants": {}}, "/variants"),
    ],
)
async def test_a_product_that_does_not_fit(catalogue: Catalogue, said: dict[str, Any], pointer: str) -> None:
    assert (await catalogue.admin.post("/products", {**FITTING, **said})).pointers() == {pointer}


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"sku": ""}, "/sku"),
        ({"sku": "a b"}, "/sku"),
        ({"sku": "x" * (SKU_MAX_CHARS + 1)}, "/sku"),
        ({"price_minor": -1}, "/price_minor"),
        ({"price_minor": PRICE_MAX_MINOR + 1}, "/price_minor"),
        ({"price_minor": 2**63}, "/price_minor"),
        ({"price_minor": 1.5}, "/price_minor"),
        ({"price_minor": "1"}, "/price_minor"),
        ({"price_minor": True}, "/price_minor"),
        ({"currency": "gbp"}, "/currency"),
        ({"currency": "XXX"}, "/currency"),
        ({"compare_at_minor": -1}, "/compare_at_minor"),
        ({"weight_grams": WEIGHT_MAX_GRAMS + 1}, "/weight_grams"),
        ({"barcode": ""}, "/barcode"),
        ({"barcode": "x" * (BARCODE_MAX_CHARS + 1)}, "/barcode"),
        ({"title": "a\x00b"}, "/title"),
        ({"attributes": {"colour": 7}}, "/attributes/colour"),
        ({"attributes": {"colour": "x" * (ATTRIBUTE_MAX_CHARS + 1)}}, "/attributes/colour"),
        ({"attributes": {str(number): "" for number in range(VARIANT_MAX_ATTRIBUTES + 1)}}, "/attributes"),
        ({"on_sale": True}, "/on_sale"),
    ],
)
async def test_a_variant_that_does_not_fit(catalogue: Catalogue, said: dict[str, Any], pointer: str) -> None:
    body = {**FITTING, "variants": [{**variant("FITS"), **said}]}
    assert (await catalogue.admin.post("/products", body)).pointers() == {f"/variants/0{pointer}"}


async def test_a_sku_stands_in_one_variant(catalogue: Catalogue) -> None:
    body = {**FITTING, "variants": [variant("TWICE"), variant("twice")]}
    assert (await catalogue.admin.post("/products", body)).pointers() == {"/"}


@pytest.mark.parametrize("sku", ["a b", "%00", "Ä", "x" * 41, "-"])
async def test_what_cannot_be_a_sku_cannot_be_put(catalogue: Catalogue, sku: str) -> None:
    product_id = str(uuid4())
    assert (await catalogue.put_variant(product_id, sku)).status in {404, 422}


@pytest.mark.parametrize(
    "text", ["ä" * NAME_MAX_CHARS, "🌊🌊", "a\u2028\u2028b", '"\\', "'; DROP TABLE products;--", "<b>x</b>"]
)
async def test_a_name_is_kept_as_it_was_given(shop: Shop, catalogue: Catalogue, text: str) -> None:
    attributes = {text[:ATTRIBUTE_MAX_CHARS]: text[:ATTRIBUTE_MAX_CHARS]}
    said = {"name": text, "slug": unique("kept"), "description": text}
    product = await catalogue.create(**said, variants=[variant(title=text, attributes=attributes)])
    seen = (await shop.anybody.get(f"/products/{product['id']}")).ok()
    assert {name: seen[name] for name in said} == {**said, "name": text.strip()}
    assert (seen["variants"][0]["title"], seen["variants"][0]["attributes"]) == (text, attributes)
    customer: Client = shop.customer()
    assert (await customer.get("/products", q=text[:200], limit=1)).status == 200


async def test_a_variant_is_changed_in_one_thing_and_keeps_the_others(catalogue: Catalogue) -> None:
    sku = unique("SKU")
    whole = variant(
        sku, title="Blue", barcode="5012345678900", weight_grams=3, attributes={"colour": "blue", "size": "S"}
    )
    product = await catalogue.create(variants=[whole])
    path = f"/products/{product['id']}/variants/{sku}"

    async def changed(body: dict[str, Any]) -> Any:
        return (await catalogue.patch(path, body)).ok()["variants"][0]

    before = product["variants"][0]
    assert await changed({"price_minor": 240}) == {**before, "price_minor": 240}
    assert await changed({"title": None, "price_minor": None}) == {**before, "price_minor": 240}
    bare = await changed({"barcode": None, "attributes": {"size": None, "fit": "wide"}})
    assert bare == {**before, "price_minor": 240, "barcode": None, "attributes": {"colour": "blue", "fit": "wide"}}
    assert (await catalogue.patch(f"/products/{product['id']}/variants/{sku.lower()}", {"active": False})).ok()


async def test_a_variant_is_changed_only_where_it_is_and_as_it_was_known(catalogue: Catalogue) -> None:
    sku = unique("SKU")
    product, other = await catalogue.create(variants=[variant(sku)]), await catalogue.create()
    path = f"/products/{product['id']}/variants"
    stale = await catalogue.patch(f"{path}/{sku}", {"price_minor": 1}, version=product["version"] + 1)
    stale.problem(412, "version_conflict")
    fresh = await catalogue.patch(f"{path}/{sku}", {"price_minor": 1}, version=product["version"])
    assert fresh.headers["ETag"] == f'"{fresh.ok()["version"]}"'
    (await catalogue.patch(f"{path}/{unique('SKU')}", {})).problem(404, "variant_not_found")
    (await catalogue.patch(f"/products/{other['id']}/variants/{sku}", {})).problem(404, "variant_not_found")
    (await catalogue.patch(f"/products/{uuid4()}/variants/{sku}", {})).problem(404, "product_not_found")
    for body in ({"sku": "OTHER"}, {"price_minor": -1}, {"currency": "XXX"}, {"attributes": {"a": 1}}, {"active": 1}):
        assert (await catalogue.patch(f"{path}/{sku}", body)).status == 422, body
