"""Handlers: the rows that each type of command is decided on, and what some events write besides the entities that they
change.

A handler is two small functions side by side: `@reads(PlaceOrder)` gathers keys before anything is loaded, and
`@writes(OrderPlaced)` gathers what is written besides entities and balances, such as the positions of reactions. Most
events need none. Importing the package imports every module in it: a new entity is a new file, with no list to
maintain.
"""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TypeVar

from domain.model import COMMANDS, Command, Event
from workers.loading import ReadSet
from workers.rows import Rows

_Gather = TypeVar("_Gather", bound=Callable[..., None])

_READS: dict[type[Command], Callable[[Any, ReadSet], None]] = {}
_WRITES: dict[type[Event], Callable[[Any, Rows], None]] = {}


def reads(command_type: type[Command]) -> Callable[[_Gather], _Gather]:
    """Registers a function `(command, into: ReadSet) -> None` that gathers what a type of command is decided on."""

    def register(handler: _Gather) -> _Gather:
        _READS[command_type] = handler
        return handler

    return register


def writes(event_type: type[Event]) -> Callable[[_Gather], _Gather]:
    """Registers a function `(event, into: Rows) -> None` that gathers what a type of event writes besides changed
    states."""

    def register(handler: _Gather) -> _Gather:
        _WRITES[event_type] = handler
        return handler

    return register


def gather_reads(command: Command, into: ReadSet) -> None:
    """Adds the keys of the rows that `command` is decided on."""
    _READS[type(command)](command, into)


def gather_rows(event: Event, into: Rows) -> None:
    """Adds what `event` writes besides changed states."""
    if handler := _WRITES.get(type(event)):
        handler(event, into)


for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

assert _READS.keys() == COMMANDS.keys(), f"commands without a handler: {COMMANDS.keys() - _READS.keys()}"
