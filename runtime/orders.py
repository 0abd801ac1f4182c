"""Orders as rows: a column for each field but the lines, which have a table of their own.

Whoever loads, writes or proves orders goes by what stands here: a field that `Order` gains needs a column, a
migration and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, Final

from domain.model import Line, Order, Private, holds_private, private_fields

_LINES: Final = "lines"
_KEY: Final = "order_id"

FIELDS: Final = tuple(name for name in Order.__struct_fields__ if name != _LINES)
"""The fields that are columns; the order's id is the first."""

COLUMNS: Final = tuple("id" if name == _KEY else name for name in FIELDS)
"""The columns of `orders` that hold them, in their order. It has two more: `placed_at`, and `updated_at`, the moment of
the last event that made another order of it."""

LINE_COLUMNS: Final = ("order_id", "position", *Line.__struct_fields__)

PRIVATE_PLACES: Final = frozenset(FIELDS.index(name) for name in private_fields(Order))
"""Where in its COLUMNS an order has what the log does not know."""

_values: Final[Callable[[Order], tuple[Any, ...]]] = attrgetter(*FIELDS)


def row(order: Order) -> tuple[Any, ...]:
    """The values of an order's COLUMNS."""
    values = _values(order)
    if not holds_private(order):
        return values
    return tuple(value.value if isinstance(value, Private) else value for value in values)


def order(values: Iterable[Any], lines: Iterable[Line]) -> Order:
    """The order that has these values in its COLUMNS, and these lines."""
    named = dict(zip(FIELDS, values, strict=True))
    for name, private in private_fields(Order).items():
        if named[name] is not None:
            named[name] = private(named[name])
    return Order(**named, lines=tuple(lines))
