"""Categories: a tree, changed by a single mailbox, which keeps it a tree."""

from collections import defaultdict
from typing import Annotated, Any, ClassVar
from uuid import UUID

import msgspec

from domain.fields.catalogue import SLUG
from domain.ids import slot_of_key
from domain.limits import (
    CATEGORIES_MAX,
    CATEGORY_MAX_DEPTH,
    CATEGORY_MAX_POSITION,
    NAME_MAX_CHARS,
    NAME_MIN_CHARS,
    is_text,
)
from domain.model import Command, Context, Decision, Entity, Event, Rejection, Shop, decides, evolves


class Category(Entity, frozen=True):
    """A category. `position` orders it among its siblings; `version` counts its changes."""

    id: UUID
    slug: str
    name: str
    parent_id: UUID | None
    position: int
    version: int

    def slot(self) -> int:
        return categories_slot()


class CategoryFields(msgspec.Struct, frozen=True, array_like=True):
    """The fields of a category that staff set."""

    slug: str
    name: Annotated[str, msgspec.Meta(min_length=NAME_MIN_CHARS, max_length=NAME_MAX_CHARS)]
    parent_id: UUID | None = None
    position: Annotated[int, msgspec.Meta(ge=-CATEGORY_MAX_POSITION, le=CATEGORY_MAX_POSITION)] = 0

    def __post_init__(self) -> None:
        if not SLUG.keeps(self.slug):
            raise ValueError(f"{self.slug!r} is not a slug")
        if not is_text(self.name):
            raise ValueError("control characters are not allowed")


def categories_slot() -> int:
    """All categories share one mailbox, because whether they are still a tree depends on all of them."""
    return slot_of_key("categories")


class CreateCategory(Command, frozen=True):
    category_id: UUID
    category: CategoryFields

    def slot(self) -> int:
        return categories_slot()


class ChangeCategory(Command, frozen=True):
    """`changes` maps names of CategoryFields to values. With `version`, it applies only to that version of the
    category."""

    category_id: UUID
    changes: dict[str, Any]
    version: int | None = None

    def slot(self) -> int:
        return categories_slot()


class CategoryCreated(Event, frozen=True):
    type: ClassVar[str] = "category.created"
    category_id: UUID
    slug: str
    name: str
    parent_id: UUID | None
    position: int

    def subject(self) -> str:
        return str(self.category_id)


class CategoryChanged(Event, frozen=True):
    """The category after the change."""

    type: ClassVar[str] = "category.changed"
    category_id: UUID
    slug: str
    name: str
    parent_id: UUID | None
    position: int

    def subject(self) -> str:
        return str(self.category_id)


class CategoryUnchanged(Event, frozen=True):
    """The command changed nothing."""

    type: ClassVar[str] = "category.unchanged"
    category_id: UUID

    def subject(self) -> str:
        return str(self.category_id)


@decides(CreateCategory)
def _create(shop: Shop, command: CreateCategory, context: Context) -> Decision:
    if command.category_id in shop.of(Category):
        raise ValueError("a category is created once: its id is taken")
    if len(shop.of(Category)) >= CATEGORIES_MAX:
        return Rejection("too_many_categories", f"There can be at most {CATEGORIES_MAX} categories.")
    return _refused(shop, command.category_id, command.category) or (
        CategoryCreated(command.category_id, *msgspec.structs.astuple(command.category)),
    )


@decides(ChangeCategory)
def _change(shop: Shop, command: ChangeCategory, context: Context) -> Decision:
    category = shop.of(Category).get(command.category_id)
    if category is None:
        return Rejection("category_not_found", "There is no such category.", {"category_id": str(command.category_id)})
    if command.version is not None and command.version != category.version:
        return Rejection(
            "version_conflict",
            "It has changed since you read it: read it again.",
            {"version": category.version, "expected_version": command.version},
        )
    said = {name: getattr(category, name) for name in CategoryFields.__struct_fields__}
    fields = msgspec.convert([*{**said, **command.changes}.values()], CategoryFields, strict=False)
    if (refused := _refused(shop, category.id, fields)) is not None:
        return refused
    told = CategoryChanged(category.id, *msgspec.structs.astuple(fields))
    unchanged = msgspec.structs.astuple(told) == msgspec.structs.astuple(category)[:-1]
    return (CategoryUnchanged(category.id) if unchanged else told,)


def _refused(shop: Shop, category_id: UUID, fields: CategoryFields) -> Rejection | None:
    """Why a category cannot have these fields, or None."""
    categories = shop.of(Category)
    if any(other.slug == fields.slug and other.id != category_id for other in categories.values()):
        return Rejection("slug_taken", "Another category has this slug.", {"slug": fields.slug})
    above, depth = fields.parent_id, 1
    while above is not None:
        if above == category_id:
            return Rejection("category_cycle", "A category cannot be inside itself.", {"parent_id": str(above)})
        if above not in categories:
            return Rejection("unknown_category", "There is no such category.", {"category_id": str(above)})
        above, depth = categories[above].parent_id, depth + 1
    depth += _height(categories, category_id)
    if depth > CATEGORY_MAX_DEPTH:
        return Rejection(
            "category_too_deep", f"Categories can be nested at most {CATEGORY_MAX_DEPTH} deep.", {"depth": depth}
        )
    return None


def _height(categories: dict[UUID, Category], category_id: UUID) -> int:
    """The number of levels below a category."""
    below: dict[UUID | None, list[UUID]] = defaultdict(list)
    for category in categories.values():
        below[category.parent_id].append(category.id)
    height, level = 0, below[category_id]
    while level:
        height, level = height + 1, [child for above in level for child in below[above]]
    return height


@evolves(CategoryCreated)
def _created(shop: Shop, event: CategoryCreated) -> None:
    shop.of(Category)[event.category_id] = Category(*(*msgspec.structs.astuple(event), 1))


@evolves(CategoryChanged)
def _changed(shop: Shop, event: CategoryChanged) -> None:
    before = shop.of(Category).get(event.category_id)
    shop.of(Category)[event.category_id] = Category(
        *(*msgspec.structs.astuple(event), before.version + 1 if before else 1)
    )


@evolves(CategoryUnchanged)
def _unchanged(shop: Shop, event: CategoryUnchanged) -> None:
    pass
