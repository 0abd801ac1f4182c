"""Every change of a product is a version: its ETag, what If-Match demands, and what If-None-Match spares."""

import asyncio

import pytest

from tests.e2e.catalogue import Catalogue, conditional, unique, variant
from tests.e2e.shop import Shop


async def test_every_change_makes_a_version_and_what_changes_nothing_does_not(catalogue: Catalogue) -> None:
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


async def test_a_change_of_an_older_version_is_refused(catalogue: Catalogue) -> None:
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
async def test_if_match_takes_only_the_exact_tag(catalogue: Catalogue, tag: str) -> None:
    product = await catalogue.create()
    given = {"If-Match": tag.format(product["version"])}
    answer = await catalogue.write("PATCH", f"/products/{product['id']}", {"name": "Changed"}, headers=given)
    answer.problem(412, "version_conflict")


@pytest.mark.parametrize("tag", ["*", '"{}"', '"7000", "{}"', '"abc","{}"'])
async def test_if_match_may_name_several_tags(catalogue: Catalogue, tag: str) -> None:
    product = await catalogue.create()
    given = {"If-Match": tag.format(product["version"])}
    answer = await catalogue.write("PATCH", f"/products/{product['id']}", {"name": "Changed"}, headers=given)
    if "7000" in tag:
        answer.problem(412, "version_conflict")
    else:
        answer.ok()


async def test_of_many_concurrent_changes_of_one_version_one_wins(catalogue: Catalogue) -> None:
    product = await catalogue.create()
    path, version = f"/products/{product['id']}", product["version"]
    names = [f"Name {number}" for number in range(10)]
    answers = await asyncio.gather(*(catalogue.patch(path, {"name": name}, version=version) for name in names))
    (won,) = (answer.ok() for answer in answers if answer.status == 200)
    assert [answer.status for answer in answers].count(412) == 9
    assert won["version"] == version + 1
    assert (await catalogue.admin.get(path)).ok() == won


async def test_an_unchanged_product_is_not_sent_again(shop: Shop, catalogue: Catalogue) -> None:
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
