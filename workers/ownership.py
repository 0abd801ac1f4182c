"""Every entity has one writer: the slot that owns it. What a command writes is noted, and a foreign entity refused.

A batch locks its mailbox and no entity but orders. Were one changed by commands of two mailboxes, each would write the
whole row as it had read it, and the earlier change would be gone; `verify` would find it, too late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NoReturn

from domain.model import Command, Entity


class ForeignWrite(Exception):
    """A command changed what another slot owns: its rule is wrong, and it becomes a dead letter."""


class Writes:
    """What the command at hand has written so far."""

    def __init__(self) -> None:
        self._entities: list[Entity] = []

    def watched(self, states: Mapping[Any, Entity]) -> dict[Any, Any]:
        """The states, by their keys; whatever is put among them is noted here."""
        return _Watched(states, self._entities)

    def settle(self, command: Command) -> None:
        """Ends the command. Raises ForeignWrite if something that it wrote is not its slot's."""
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
    """States that may be added and replaced, one by one; none is taken away, for no row ever is."""

    def __init__(self, states: Mapping[Any, Entity], written: list[Entity]) -> None:
        super().__init__(states)
        self._written = written

    def __setitem__(self, key: Any, state: Any) -> None:
        self._written.append(state)
        _put(self, key, state)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("put states in their places one by one; what comes to an end says so in a field")

    __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse
