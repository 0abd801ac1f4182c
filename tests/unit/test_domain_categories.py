"""Categories: always a tree of bounded depth, whatever is moved."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.categories import (
    Category,
    CategoryChanged,
    CategoryCreated,
    CategoryFields,
    CategoryUnchanged,
    ChangeCategory,
    CreateCategory,
)
from domain.limits import CATEGORIES_MAX, CATEGORY_MAX_DEPTH
from domain.model import Command, Rejection, Shop, decide, evolve
from tests.contexts import context

ADMIN = context("ada", "staff")
NOWHERE = UUID(int=999_999)


def create(number: int, parent: int | None = None) -> CreateCategory:
    fields = CategoryFields(f"c{number}", f"Category {number}", None if parent is None else UUID(int=parent))
    return CreateCategory(UUID(int=number), fields)


def move(number: int, parent: int | None, version: int | None = None) -> ChangeCategory:
    return ChangeCategory(UUID(int=number), {"parent_id": None if parent is None else str(UUID(int=parent))}, version)


def apply(shop: Shop, *commands: Command) -> list[str]:
    """For each command, the type of its event or the code of its rejection."""
    said = []
    for command in commands:
        decision = decide(shop, command, ADMIN)
        if isinstance(decision, Rejection):
            said.append(decision.code)
            continue
        for event in decision:
            evolve(shop, event)
            said.append(event.type)
    return said


def parents(shop: Shop) -> dict[int, int | None]:
    return {
        key.int: None if state.parent_id is None else state.parent_id.int for key, state in shop.of(Category).items()
    }


def chain(length: int, first: int = 1) -> list[CreateCategory]:
    """Categories nested in one another."""
    return [create(number, number - 1 if number > first else None) for number in range(first, first + length)]


def test_categories_are_created_and_moved() -> None:
    shop = Shop()
    apply(shop, create(1), create(2, 1), create(3, 1))
    assert parents(shop) == {1: None, 2: 1, 3: 1}
    assert apply(shop, move(3, 2), move(2, None)) == [CategoryChanged.type] * 2
    assert parents(shop) == {1: None, 2: None, 3: 2}
    assert apply(shop, move(2, None)) == [CategoryUnchanged.type]
    assert shop.of(Category)[UUID(int=2)].version == 2


def test_a_category_cannot_be_inside_itself() -> None:
    shop = Shop()
    apply(shop, *chain(3))
    assert apply(shop, move(1, 1), move(1, 2), move(1, 3)) == ["category_cycle"] * 3
    assert parents(shop) == {1: None, 2: 1, 3: 2}


def test_the_depth_of_the_tree_is_bounded() -> None:
    shop = Shop()
    apply(shop, *chain(CATEGORY_MAX_DEPTH), *chain(2, first=100))
    deepest = CATEGORY_MAX_DEPTH
    assert apply(shop, create(50, deepest)) == ["category_too_deep"]
    assert apply(shop, move(100, deepest - 1)) == ["category_too_deep"]
    assert apply(shop, move(100, deepest - 2), move(1, 101)) == [CategoryChanged.type, "category_cycle"]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (CreateCategory(UUID(int=9), CategoryFields("c1", "Another")), "slug_taken"),
        (ChangeCategory(UUID(int=2), {"slug": "c1"}), "slug_taken"),
        (CreateCategory(UUID(int=9), CategoryFields("c9", "Lost", NOWHERE)), "unknown_category"),
        (ChangeCategory(UUID(int=2), {"parent_id": str(NOWHERE)}), "unknown_category"),
        (ChangeCategory(NOWHERE, {"name": "Nothing"}), "category_not_found"),
        (ChangeCategory(UUID(int=2), {"name": "Late"}, 7), "version_conflict"),
    ],
)
def test_invalid_changes_are_refused(command: Command, code: str) -> None:
    shop = Shop()
    apply(shop, create(1), create(2))
    assert apply(shop, command) == [code]


def test_the_number_of_categories_is_bounded() -> None:
    shop = Shop()
    for number in range(CATEGORIES_MAX):
        evolve(shop, CategoryCreated(UUID(int=number), f"c{number}", "Category", None, 0))
    assert apply(shop, create(CATEGORIES_MAX)) == ["too_many_categories"]
    assert apply(shop, move(0, 1)) == [CategoryChanged.type]


@given(st.lists(st.tuples(st.integers(1, 12), st.none() | st.integers(1, 12)), max_size=60))
def test_categories_stay_a_tree_whatever_is_moved(moves: list[tuple[int, int | None]]) -> None:
    shop = Shop()
    apply(shop, *(create(number) for number in range(1, 13)), *(move(*each) for each in moves))
    above = parents(shop)
    for number in above:
        depth, at = 0, number
        while (parent := above[at]) is not None:
            depth, at = depth + 1, parent
            assert depth < CATEGORY_MAX_DEPTH, above
