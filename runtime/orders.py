"""Orders as rows: a column for each field except the lines, which have their own table.

Code that loads, writes or verifies orders uses these definitions, so a new field of `Order` needs a column, a migration
and nothing else.
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
"""The columns of `orders` that hold them, in the same order. The table has two more: `placed_at`, and `updated_at`, the
time of the last event that changed the order."""

LINE_COLUMNS: Final = ("order_id", "position", *Line.__struct_fields__)

PRIVATE_PLACES: Final = frozenset(FIELDS.index(name) for name in private_fields(Order))
"""The indexes in COLUMNS of what is not in the log."""

_values: Final[Callable[[Order], tuple[Any, ...]]] = attrgetter(*FIELDS)


def row(order: Order) -> tuple[Any, ...]:
    """An order's values for COLUMNS."""
    values = _values(order)
    if not holds_private(order):
        return values
    return tuple(value.value if isinstance(value, Private) else value for value in values)


def order(values: Iterable[Any], lines: Iterable[Line]) -> Order:
    """The order with these values for COLUMNS and these lines."""
    named = dict(zip(FIELDS, values, strict=True))
    for name, private in private_fields(Order).items():
        if named[name] is not None:
            named[name] = private(named[name])
    return Order(**named, lines=tuple(lines))
