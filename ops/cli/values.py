"""Values that are given to commands, read by the same fields as at every other door."""

from typing import Protocol, TypeVar

import click

from domain.fields.core import BadValue

_T_co = TypeVar("_T_co", covariant=True)
_T = TypeVar("_T")


class _Field(Protocol[_T_co]):
    def parse(self, given: object) -> _T_co: ...


def taken(name: str, field: _Field[_T], given: str) -> _T:
    """The value of the argument or option `name`. Raises BadParameter with what the field says of it."""
    try:
        return field.parse(given)
    except BadValue as bad:
        raise click.BadParameter(bad.detail, param_hint=name) from None
