"""Values of CLI arguments, validated like those of the API."""

from typing import Protocol, TypeVar

import click

from domain.fields.core import BadValue

_T_co = TypeVar("_T_co", covariant=True)
_T = TypeVar("_T")


class _Field(Protocol[_T_co]):
    def parse(self, given: object) -> _T_co: ...


def taken(name: str, field: _Field[_T], given: str) -> _T:
    """The value of the argument or option `name`. Raises BadParameter with the field's message."""
    try:
        return field.parse(given)
    except BadValue as bad:
        raise click.BadParameter(bad.detail, param_hint=name) from None
