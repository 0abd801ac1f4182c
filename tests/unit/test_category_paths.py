"""Categories by path: found however their names are written, and planned from the top where they are missing."""

from uuid import UUID

from domain.categories import Category, categories_slot
from domain.ids import new_id, slot_of_id
from workers.jobs.category_paths import CategoryTree, created, shown

JOB = new_id(1_790_000_000_000, 7, 12_345)
KITCHEN = Category(UUID(int=1), "kitchen", "Kitchen", None, 0, 1)
APRONS = Category(UUID(int=2), "aprons", "Aprons", KITCHEN.id, 0, 1)
GARDEN_APRONS = Category(UUID(int=3), "garden-aprons", "Aprons", UUID(int=9), 0, 1)


def tree(*categories: Category) -> CategoryTree:
    return CategoryTree(categories or (APRONS, GARDEN_APRONS, KITCHEN))


def planned(tree: CategoryTree, *path: str) -> list[tuple[str, str, UUID | None]]:
    found = []
    for command in tree.missing(path, JOB):
        assert slot_of_id(command.category_id) == categories_slot()
        tree.add(created(command))
        found.append((command.category.name, command.category.slug, command.category.parent_id))
    return found


def test_names_are_found_however_they_are_written() -> None:
    assert tree().find(("Kitchen", "Aprons")) == APRONS.id
    assert tree().find(("KITCHEN", " aprons ")) == APRONS.id
    assert tree(Category(UUID(int=4), "the", "Th\u00e9", None, 0, 1)).find(("The\u0301",)) == UUID(int=4)
    assert tree().find(("Aprons",)) is None
    assert tree().find(("Kitchen", "Pots")) is None


def test_of_two_with_the_same_name_the_first_counts() -> None:
    later, first = (Category(UUID(int=n), f"tea-{n}", "Tea", None, 9 - n, 1) for n in (5, 6))
    assert tree(later, first).find(("tea",)) == first.id


def test_missing_categories_are_planned_from_the_top() -> None:
    shop = tree()
    found = planned(shop, "Kitchen", "Linen", "Aprons")
    assert found[0] == ("Linen", "linen", KITCHEN.id)
    assert found[1][:2] == ("Aprons", "kitchen-linen-aprons")  # `aprons` is taken
    assert found[1][2] == shop.find(("Kitchen", "Linen"))
    assert planned(shop, "kitchen", "LINEN", "aprons") == []


def test_a_path_is_always_planned_in_the_same_way() -> None:
    first, again = (next(iter(tree().missing(("New",), JOB))) for _ in range(2))
    assert first == again
    other = next(iter(tree().missing(("New",), new_id(1_790_000_000_000, 7, 54_321))))
    assert other.category_id != first.category_id


def test_names_without_a_slug_get_one() -> None:
    shop = tree()
    ((name, slug, _), (_, other, _)) = *planned(shop, "\u8336"), *planned(shop, "\u7d05\u8336")
    assert name == "\u8336"
    assert slug.startswith("c-")
    assert slug != other


def test_a_path_as_people_read_it() -> None:
    assert shown(("Kitchen", "Aprons")) == "Kitchen > Aprons"
