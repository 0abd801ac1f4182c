"""Categories: a tree that everyone sees and admins edit."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.limits import CATEGORY_MAX_DEPTH, CATEGORY_MAX_POSITION
from tests.e2e.api import API
from tests.e2e.catalogue import Catalogue, conditional, unique
from tests.e2e.shop import Shop


async def below(shop: Shop, category_id: str) -> list[dict[str, Any]]:
    """The children of a category, wherever it is in the tree."""

    def found(nodes: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
        for node in nodes:
            if node["id"] == category_id:
                return list(node["children"])
            if (deeper := found(node["children"])) is not None:
                return deeper
        return None

    children = found((await shop.anybody.get("/categories")).ok()["items"])
    assert children is not None
    return children


async def test_a_category_comes_back_as_it_was_sent(shop: Shop, catalogue: Catalogue) -> None:
    above = await catalogue.category()
    word = unique("kitchen")
    answer = await catalogue.admin.post(
        "/categories", {"name": f"  Küche {word} ", "parent_id": above["id"], "position": -3}, wait=None
    )
    made = answer.ok(201)
    assert answer.headers["Location"] == f"{API}/categories/{made['id']}"
    assert answer.headers["ETag"] == '"1"'
    assert (made["name"], made["slug"]) == (f"Küche {word}", f"kuche-{word}")
    assert (made["parent_id"], made["position"], made["version"]) == (above["id"], -3, 1)
    for key in (made["id"], made["slug"]):
        assert (await shop.anybody.get(f"/categories/{key}")).ok() == made
    assert await below(shop, above["id"]) == [{**made, "children": []}]


async def test_siblings_are_sorted_by_position_then_by_name(shop: Shop, catalogue: Catalogue) -> None:
    above = (await catalogue.category())["id"]
    for name, position in (("Last", 9), ("Beta", 1), ("Alpha", 1), ("First", -1)):
        await catalogue.category(name=name, slug=unique("sorted"), parent_id=above, position=position)
    assert [node["name"] for node in await below(shop, above)] == ["First", "Alpha", "Beta", "Last"]


async def test_a_category_is_moved_with_all_below_it(shop: Shop, catalogue: Catalogue) -> None:
    first, second = await catalogue.category(), await catalogue.category()
    child = await catalogue.category(parent_id=first["id"])
    grandchild = await catalogue.category(parent_id=child["id"])
    moved = (await catalogue.patch(f"/categories/{child['id']}", {"parent_id": second["id"]})).ok()
    assert (moved["parent_id"], moved["version"]) == (second["id"], 2)
    assert await below(shop, first["id"]) == []
    assert [node["id"] for node in (await below(shop, second["id"]))[0]["children"]] == [grandchild["id"]]
    top = (await catalogue.patch(f"/categories/{child['id']}", {"parent_id": None, "name": None})).ok()
    assert (top["parent_id"], top["name"]) == (None, child["name"])
    assert (await catalogue.patch(f"/categories/{child['id']}", {"parent_id": None})).ok()["version"] == 3
    (await catalogue.patch(f"/categories/{child['id']}", {"parent_id": grandchild["id"]})).problem(
        409, "category_cycle"
    )


async def test_of_two_moves_that_would_make_a_cycle_one_is_refused(catalogue: Catalogue) -> None:
    first, second = await catalogue.category(), await catalogue.category()
    answers = await asyncio.gather(
        catalogue.patch(f"/categories/{first['id']}", {"parent_id": second["id"]}),
        catalogue.patch(f"/categories/{second['id']}", {"parent_id": first["id"]}),
    )
    assert sorted(answer.status for answer in answers) == [200, 409]


async def test_the_depth_of_the_tree_is_limited(catalogue: Catalogue) -> None:
    parent = None
    for _ in range(CATEGORY_MAX_DEPTH):
        parent = (await catalogue.category(parent_id=parent))["id"]
    (await catalogue.admin.post("/categories", {"name": "Too deep", "parent_id": parent})).problem(
        409, "category_too_deep"
    )


async def test_conflicts_are_refused(catalogue: Catalogue) -> None:
    made, other = await catalogue.category(), await catalogue.category()
    path = f"/categories/{made['id']}"
    (await catalogue.admin.post("/categories", {"name": made["name"]})).problem(409, "slug_taken")
    (await catalogue.patch(path, {"slug": other["slug"]})).problem(409, "slug_taken")
    (await catalogue.patch(path, {"parent_id": str(uuid4())})).problem(422, "unknown_category")
    (await catalogue.patch(f"/categories/{uuid4()}", {"name": "Nothing"})).problem(404, "category_not_found")
    (await catalogue.patch(path, {"name": "First"}, version=1)).ok()
    problem = (await catalogue.patch(path, {"name": "Late"}, version=1)).problem(412, "version_conflict")
    assert (problem["version"], problem["expected_version"]) == (2, 1)


async def test_an_unchanged_tree_is_not_sent_again(shop: Shop, catalogue: Catalogue) -> None:
    made = await catalogue.category()
    for path in (f"/categories/{made['slug']}", "/categories"):
        tag = (await shop.anybody.get(path)).headers["ETag"]
        answer = await conditional(shop.anybody, path, tag)
        assert (answer.status, answer.body, answer.headers["ETag"]) == (304, b"", tag)
    (await catalogue.patch(f"/categories/{made['id']}", {"name": "Another name"})).ok()
    for path in (f"/categories/{made['slug']}", "/categories"):
        assert (await conditional(shop.anybody, path, '"1"')).status == 200


async def test_only_admins_write(shop: Shop, catalogue: Catalogue) -> None:
    made = await catalogue.category()
    for method, path in (("POST", "/categories"), ("PATCH", f"/categories/{made['id']}")):
        (await catalogue.write(method, path, {"name": "Mine"}, client=shop.anybody)).problem(401, "unauthenticated")
        for client in (shop.customer(), shop.staff):
            (await catalogue.write(method, path, {"name": "Mine"}, client=client)).problem(403, "forbidden")


@pytest.mark.parametrize("key", ["no-such-category", "%00", "Ä", "x" * 300, str(UUID(int=7))])
async def test_unknown_categories_are_not_found(shop: Shop, key: str) -> None:
    (await shop.anybody.get(f"/categories/{key}")).problem(404, "category_not_found")


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"name": "x"}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"slug": "No Slug"}, "/slug"),
        ({"parent_id": "nowhere"}, "/parent_id"),
        ({"position": CATEGORY_MAX_POSITION + 1}, "/position"),
        ({"position": 1.5}, "/position"),
        ({"id": str(uuid4())}, "/id"),
        ({"version": 7}, "/version"),
        ({"children": []}, "/children"),
    ],
)
async def test_a_category_that_does_not_fit(catalogue: Catalogue, said: dict[str, Any], pointer: str) -> None:
    assert (await catalogue.admin.post("/categories", {"name": "Fits", **said})).pointers() == {pointer}
