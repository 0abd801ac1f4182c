"""JSON columns as text: passed on byte for byte, without parsing."""

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Dialect, Text, cast, type_coerce
from sqlalchemy.types import TypeDecorator


class _RawJson(TypeDecorator[msgspec.Raw]):
    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> msgspec.Raw | None:
        return None if value is None else msgspec.Raw(value.encode())


def as_text(column: ColumnElement[Any]) -> ColumnElement[msgspec.Raw]:
    """The JSON column, read as msgspec.Raw."""
    return type_coerce(cast(column, Text), _RawJson)
