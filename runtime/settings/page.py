"""The tables of `docs/settings.md`."""

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from runtime.settings import SECTIONS, variables_of
from runtime.settings.section import Section


def markdown_tables() -> str:
    """A heading and a table for each section: the environment variable, its default, and what it means."""
    return "\n".join(map(_table, SECTIONS))


def _table(section: type[Section]) -> str:
    assert section.__doc__ is not None, f"{section.__name__} has no heading"
    rows = [
        f"| {_variables(name, field)} | {_default(field)} | {field.description} |"
        for name, field in section.model_fields.items()
    ]
    heading = section.__doc__.splitlines()[0].removesuffix(".")
    return "\n".join([f"## {heading}", "", "| variable | default | meaning |", "| --- | --- | --- |", *rows, ""])


def _variables(name: str, field: FieldInfo) -> str:
    return " or ".join(f"`{variable}`" for variable in variables_of(name, field))


def _default(field: FieldInfo) -> str:
    value = field.default
    return f"`{value.get_secret_value() if isinstance(value, SecretStr) else value}`"
