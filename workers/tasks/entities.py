"""What tasks look up of the shop."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from domain.model import Entity
from runtime import entities
from runtime.entities import table_of
from workers.tasks.kinds import TaskTools

_Kind = TypeVar("_Kind", bound=Entity)


async def find(tools: TaskTools, kind: type[_Kind], key: Any) -> _Kind | None:
    """The entity with this key, as it stands, if there is one."""
    table = table_of(kind)
    async with tools.pool.acquire() as connection:
        connected: Any = connection
        found = await entities.load(connected, table, table.key, [key])
    return cast(_Kind, found[0]) if found else None


async def the(tools: TaskTools, kind: type[_Kind], key: Any) -> _Kind:
    """The entity with this key, of a kind whose entities are never deleted."""
    found = await find(tools, kind, key)
    assert found is not None, f"there is no {kind.__name__} {key}"
    return found
