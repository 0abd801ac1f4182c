"""Categories as the API shows them: one by one, and as the tree that they are."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.folding import order_key
from gateway.views.products import matches_key
from runtime.tables import categories


class CategoryView(BaseModel):
    """A category. `position` sorts it among its siblings; its `version` is also its entity tag."""

    id: UUID
    slug: str
    name: str
    parent_id: UUID | None
    position: int
    version: int
    created_at: datetime
    updated_at: datetime


class CategoryNode(CategoryView):
    """A category and those below it."""

    children: list[CategoryNode]


class CategoryTree(BaseModel):
    """The categories at the top, with all below them; siblings by position, then by name."""

    items: list[CategoryNode]


async def find(connection: AsyncConnection, key: str) -> CategoryView | None:
    """The category with this id or, if there is none, this slug."""
    row = (await connection.execute(matches_key(select(categories), categories, key))).mappings().first()
    return None if row is None else CategoryView(**row)


async def tree(connection: AsyncConnection) -> CategoryTree:
    """All categories."""
    below: dict[UUID | None, list[RowMapping]] = defaultdict(list)
    rows = (await connection.execute(select(categories))).mappings()
    for row in sorted(rows, key=lambda row: (row["position"], order_key(row["name"]), row["id"])):
        below[row["parent_id"]].append(row)

    def nodes(parent_id: UUID | None) -> list[CategoryNode]:  # CATEGORY_MAX_DEPTH bounds how deep this goes
        return [CategoryNode(**row, children=nodes(row["id"])) for row in below[parent_id]]

    return CategoryTree(items=nodes(None))
