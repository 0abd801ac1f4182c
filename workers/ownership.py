"""Every entity has a single writer, the slot that owns it. What a command writes is recorded, and a write to another
slot's entity is refused.

A batch locks its mailboxes and, of the entities, only orders. If commands of two mailboxes changed the same entity,
each would write the whole row as it had read it, and the earlier change would be lost; `verify` would find out too
late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from domain.model import Command, Entity


class ForeignWrite(Exception):
    """A command changed an entity that another slot owns: its rule is wrong, and it becomes a dead letter."""


class Writes:
    """What the current command has written so far."""

    def __init__(self) -> None:
        self._entities: list[Entity] = []

    def watched(self, states: Mapping[Any, Entity]) -> dict[Any, Any]:
        """A dictionary of the states that records what is put into it."""
        return _Watched(states, self._entities)

    def settle(self, command: Command) -> None:
        """Ends the command. Raises ForeignWrite if it wrote something that its slot does not own."""
        if not self._entities:
            return
        slot = command.slot()
        for entity in self._entities:
            if (owner := entity.slot()) != slot:
                raise ForeignWrite(
                    f"{type(command).__name__} of slot {slot} changed the {type(entity).__name__}"
                    f" {getattr(entity, entity.__struct_fields__[0])}, which slot {owner} owns"
                )
        self._entities.clear()


_put: Final = dict.__setitem__


class _Watched(dict[Any, Any]):
    """States that can be added and replaced one by one, but not removed, since rows never are."""

    def __init__(self, states: Mapping[Any, Entity], written: list[Entity]) -> None:
        super().__init__(states)
        self._written = written

    def __setitem__(self, key: Any, state: Any) -> None:
        self._written.append(state)
        _put(self, key, state)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("set states one by one, and mark the end of an entity in a field instead of deleting it")

    __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse
