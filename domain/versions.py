"""Schema versions of events and commands. Each class states its current version; data of an earlier version is upcast,
step by step, when it is read.

A step is a plain function on plain data, registered next to the class: `@upcasts(OrderPlaced, from_version=1)`. An
event's data is a dict by field, a command's a list of its fields' values in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from domain.model import Command, Event

Kind = type[Event] | type[Command]
_Step = TypeVar("_Step", bound=Callable[[Any], Any])

_STEPS: dict[tuple[Kind, int], Callable[[Any], Any]] = {}


class UnknownVersion(msgspec.ValidationError):
    """The data was written by a later release, and this one cannot read it."""


def upcasts(kind: Kind, *, from_version: int) -> Callable[[_Step], _Step]:
    """Registers the step that turns data of `from_version` into data of the next version."""

    def register(step: _Step) -> _Step:
        assert 1 <= from_version < kind.schema_version, f"{kind.__name__} is of version {kind.schema_version}"
        assert (kind, from_version) not in _STEPS, f"two steps lead from version {from_version} of {kind.__name__}"
        _STEPS[kind, from_version] = step
        return step

    return register


def upcast(kind: Kind, version: int, said: Any) -> Any:
    """The data of `version` in the current version. Raises UnknownVersion if the version is later than the current one,
    and msgspec.ValidationError if the data does not match its version."""
    if not 1 <= version <= kind.schema_version:
        raise UnknownVersion(
            f"{kind.__name__} of version {version} cannot be read: this release knows {kind.schema_version}"
        )
    try:
        for number in range(version, kind.schema_version):
            said = _STEPS[kind, number](said)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise msgspec.ValidationError(f"not {kind.__name__} of version {version}: {error!r}") from None
    return said


def missing_steps(kind: Kind) -> list[int]:
    """The versions without a step to the next one. There must be none."""
    return [number for number in range(1, kind.schema_version) if (kind, number) not in _STEPS]
