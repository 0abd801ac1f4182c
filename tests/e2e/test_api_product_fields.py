"""What a product's and a variant's fields may hold, and how a variant is changed."""

from typing import Any
from uuid import uuid4

import pytest

from domain.limits import (
    ATTRIBUTE_MAX_CHARS,
    BARCODE_MAX_CHARS,
    DESCRIPTION_MAX_CHARS,
    NAME_MAX_CHARS,
    PRICE_MAX_MINOR,
    SKU_MAX_CHARS,
    SLUG_MAX_CHARS,
    VARIANT_MAX_ATTRIBUTES,
    WEIGHT_MAX_GRAMS,
)
from tests.e2e.api import Client
from tests.e2e.catalogue import Catalogue, unique, variant
from tests.e2e.shop import Shop

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
async def test_an_invalid_product_is_refused(catalogue: Catalogue, said: dict[str, Any], pointer: str) -> None:
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
async def test_an_invalid_variant_is_refused(catalogue: Catalogue, said: dict[str, Any], pointer: str) -> None:
    body = {**FITTING, "variants": [{**variant("FITS"), **said}]}
    assert (await catalogue.admin.post("/products", body)).pointers() == {f"/variants/0{pointer}"}


async def test_a_product_has_each_sku_once(catalogue: Catalogue) -> None:
    body = {**FITTING, "variants": [variant("TWICE"), variant("twice")]}
    assert (await catalogue.admin.post("/products", body)).pointers() == {"/"}


@pytest.mark.parametrize("sku", ["a b", "%00", "Ä", "x" * 41, "-"])
async def test_an_invalid_sku_cannot_be_put(catalogue: Catalogue, sku: str) -> None:
    product_id = str(uuid4())
    assert (await catalogue.put_variant(product_id, sku)).status in {404, 422}


@pytest.mark.parametrize(
    "text", ["ä" * NAME_MAX_CHARS, "🌊🌊", "a\u2028\u2028b", '"\\', "'; DROP TABLE products;--", "<b>x</b>"]
)
async def test_a_name_is_kept_as_it_was_sent(shop: Shop, catalogue: Catalogue, text: str) -> None:
    attributes = {text[:ATTRIBUTE_MAX_CHARS]: text[:ATTRIBUTE_MAX_CHARS]}
    said = {"name": text, "slug": unique("kept"), "description": text}
    product = await catalogue.create(**said, variants=[variant(title=text, attributes=attributes)])
    seen = (await shop.anybody.get(f"/products/{product['id']}")).ok()
    assert {name: seen[name] for name in said} == {**said, "name": text.strip()}
    assert (seen["variants"][0]["title"], seen["variants"][0]["attributes"]) == (text, attributes)
    customer: Client = shop.customer()
    assert (await customer.get("/products", q=text[:200], limit=1)).status == 200


async def test_a_variant_keeps_the_fields_that_a_change_leaves_out(catalogue: Catalogue) -> None:
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


async def test_a_variant_is_changed_only_in_its_product_and_in_the_expected_version(catalogue: Catalogue) -> None:
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
