"""Versions of what events and commands say. The class of each states its version of today; what was written under an
earlier one is brought up to date, step by step, when it is read.

A step is a plain function on plain data, registered beside the class: `@upcasts(OrderPlaced, from_version=1)`. An
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
    """It was written by a later release: this one cannot read it."""


def upcasts(kind: Kind, *, from_version: int) -> Callable[[_Step], _Step]:
    """Registers what makes data of `from_version` data of the next version."""

    def register(step: _Step) -> _Step:
        assert 1 <= from_version < kind.schema_version, f"{kind.__name__} is of version {kind.schema_version}"
        assert (kind, from_version) not in _STEPS, f"two steps lead from version {from_version} of {kind.__name__}"
        _STEPS[kind, from_version] = step
        return step

    return register


def upcast(kind: Kind, version: int, said: Any) -> Any:
    """What was said under `version`, as it is said today. Raises UnknownVersion for a later version than today's, and
    msgspec.ValidationError for what was not said under that version."""
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
    """The versions from which no step leads on. There must be none."""
    return [number for number in range(1, kind.schema_version) if (kind, number) not in _STEPS]
