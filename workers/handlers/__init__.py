"""Handlers: for each command type the rows it is decided on, for some event types what they write besides states.

A handler is two small functions beside each other: `@reads(PlaceOrder)` gathers keys before anything is loaded,
`@writes(OrderPlaced)` gathers what is written besides the states that it changed: stock, and where reactions stand.
Most events need none.
Importing the package imports every module in it: a new entity is a new file and no list to keep.
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from domain.model import COMMANDS, Command, Event
from workers.rows import ReadSet, Rows

_Gather = TypeVar("_Gather", bound=Callable[..., None])

_READS: dict[type[Command], Callable[[Any, ReadSet], None]] = {}
_WRITES: dict[type[Event], Callable[[Any, Rows], None]] = {}


def reads(command_type: type[Command]) -> Callable[[_Gather], _Gather]:
    """Registers what a command type is decided on: `(command, into: ReadSet) -> None`."""

    def register(handler: _Gather) -> _Gather:
        _READS[command_type] = handler
        return handler

    return register


def writes(event_type: type[Event]) -> Callable[[_Gather], _Gather]:
    """Registers what an event type writes besides the states that it changed: `(event, into: Rows) -> None`."""

    def register(handler: _Gather) -> _Gather:
        _WRITES[event_type] = handler
        return handler

    return register


def gather_reads(command: Command, into: ReadSet) -> None:
    """Adds the keys of the rows that `command` is decided on."""
    _READS[type(command)](command, into)


def gather_rows(event: Event, into: Rows) -> None:
    """Adds what `event` writes besides the states that it changed."""
    if handler := _WRITES.get(type(event)):
        handler(event, into)


for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

assert _READS.keys() == COMMANDS.keys(), f"commands without a handler: {COMMANDS.keys() - _READS.keys()}"
