"""Names are found and sorted as people expect, in any case, accents, normal form and script."""

import csv
import io
import unicodedata
from functools import partial

import pytest

from tests.cases import case
from tests.e2e.api import Client
from tests.e2e.catalogue import Catalogue, unique, variant
from tests.e2e.importing import brought_in, counts
from tests.e2e.people import admin
from tests.e2e.shop import Shop
from tests.system import eventually_seen


async def slugs(client: Client, **query: str | int) -> list[str]:
    return [item["slug"] for item in (await client.get("/products", **query)).ok()["items"]]


@pytest.fixture(scope="module")
async def marked(shop: Shop) -> Shop:
    """A shop with the case's names, and another product that matches letter for letter."""
    assert counts(await brought_in(admin(shop), case("03-names-with-marks.csv"))) == (7, 7, 0, 0)

    async def seen() -> bool:
        return all(["case-se-7" in await slugs(shop.anybody, q="spoon") for _ in range(6)])

    await eventually_seen("the spoon", seen, within_seconds=10)
    return shop


SEARCHES = [tuple(line.split("\t")) for line in case("03-searches.tsv").decode().removesuffix("\n").split("\n")[1:]]


@pytest.mark.parametrize(("q", "wanted"), SEARCHES)
async def test_names_with_marks_are_found(marked: Shop, q: str, wanted: str) -> None:
    for spelt in (q, q.upper(), unicodedata.normalize("NFD", q)):
        assert set(wanted.split()) <= set(await slugs(marked.anybody, q=spelt, limit=20)), spelt


async def test_names_are_sorted_and_pages_have_neither_gap_nor_repeat(shop: Shop) -> None:
    category = await Catalogue(shop).category()
    sheet = list(csv.DictReader(io.StringIO(case("04-names-to-sort.csv").decode())))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*sheet[0], "category"])
    writer.writeheader()
    writer.writerows({**row, "category": category["slug"]} for row in sheet)
    assert (await brought_in(admin(shop), text.getvalue().encode()))["applied"] == len(sheet)
    wanted = case("04-sorted.txt").decode().splitlines()
    client = shop.anybody

    async def names(**query: str | int) -> list[str]:
        found = (await client.get("/products", category_id=category["id"], **query)).ok()
        return [item["name"] for item in found["items"]]

    async def seen() -> bool:
        return all([await names(sort="name") == wanted for _ in range(6)])

    await eventually_seen("all in order", seen, within_seconds=10)
    for sort, expected in (("name", wanted), ("-name", wanted[::-1])):
        assert await names(sort=sort) == expected
        assert [name for page in range(1, 6) for name in await names(sort=sort, limit=2, page=page)] == expected
        pages = await client.pages(f"/products?category_id={category['id']}&sort={sort}", limit=2)
        assert [item["name"] for page in pages for item in page] == expected


async def test_categories_of_one_position_are_sorted_by_their_names(shop: Shop) -> None:
    catalogue = Catalogue(shop)
    parent = await catalogue.category()
    for name in ("Zebra", "apple", "éclair"):
        await catalogue.category(name=name, slug=unique("sorted"), parent_id=parent["id"])
    tree = (await shop.anybody.get("/categories")).ok()["items"]
    (children,) = [node["children"] for node in tree if node["id"] == parent["id"]]
    assert [child["name"] for child in children] == ["apple", "éclair", "Zebra"]


@pytest.mark.parametrize(
    ("name", "searches", "not_by"),
    [
        ("Настольная Лампа", ["лампа", "ЛАМПА", "настольная лампа"], []),
        ("Ёлочный шар", ["елочный", "ЁЛОЧНЫЙ"], []),
        ("Επιτραπέζια Λάμπα", ["λαμπα", "ΛΆΜΠΑ", "επιτραπεζια"], []),
        ("مِصْباح أحمر", ["مصباح", "احمر"], []),
        ("红木灯笼架", ["灯笼", "灯笼架", "红木灯笼架", "灯", "木灯"], ["笼红", "灯架"]),
        ("ガラスのランプ", ["ランプ", "ｶﾞﾗｽ", "ガラス"], ["カラス"]),
        ("โคมไฟตั้งโต๊ะ", ["โคมไฟ", "ตั้งโต๊ะ"], ["ไฟโคม"]),
        ("한국어 사전", ["한국", "사전"], ["국한"]),
        ("Sugar\u2019s T\u2011Shirt", ["sugar's", "t-shirt", "shirts", "sugars"], []),
    ],
)
async def test_names_in_every_script_are_found(shop: Shop, name: str, searches: list[str], not_by: list[str]) -> None:
    catalogue = Catalogue(shop)
    category = (await catalogue.category())["id"]
    slug = unique("script")
    await catalogue.create(name=name, slug=slug, category_id=category, variants=[variant()])

    async def found(q: str) -> bool:
        return all([await slugs(shop.anybody, q=q, category_id=category) == [slug] for _ in range(6)])

    for q in searches:
        await eventually_seen(f"{name} for {q}", partial(found, q), within_seconds=5)
    for q in not_by:
        assert await slugs(shop.anybody, q=q, category_id=category) == []


async def test_typing_errors_are_forgiven_beyond_ascii(shop: Shop) -> None:
    catalogue = Catalogue(shop)
    category = (await catalogue.category())["id"]
    for name, q in (
        ("Керосиновая лампа", "керосниовая"),
        ("Crème brûlée torch", "brulle"),
        ("Επιτραπέζια", "επιτρπαεζια"),
    ):
        slug = unique("typo")
        await catalogue.create(name=name, slug=slug, category_id=category, variants=[variant()])

        async def found(q: str = q, slug: str = slug) -> bool:
            return slug in await slugs(shop.anybody, q=q, category_id=category)

        await eventually_seen(f"{name} for {q}", found, within_seconds=5)
