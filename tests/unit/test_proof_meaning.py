"""What a stored fold was made with: it is folded anew when a state has another shape, however deep inside."""

from __future__ import annotations

import msgspec

from runtime.proof.stored import shape


class _Tax(msgspec.Struct):
    """A tax."""

    rate_bp: int


class _Line(msgspec.Struct):
    description: str
    taxes: list[_Tax]


def _lines(tax: type[msgspec.Struct]) -> type[msgspec.Struct]:
    return msgspec.defstruct("_Line", [("description", str), ("taxes", list[tax])])  # type: ignore[valid-type]


def test_a_field_added_to_a_nested_struct_changes_the_shape() -> None:
    finer = msgspec.defstruct("_Tax", [("rate_bp", int), ("extra_ppm", int, 0)])
    assert shape(_Line) == shape(_lines(_Tax))
    assert shape(_lines(_Tax)) != shape(_lines(finer))


def test_a_changed_docstring_does_not_change_the_shape() -> None:
    reworded = msgspec.defstruct("_Tax", [("rate_bp", int)], namespace={"__doc__": "What the state takes."})
    assert shape(_lines(_Tax)) == shape(_lines(reworded))


def test_a_field_called_description_counts() -> None:
    assert shape(_Line) != shape(msgspec.defstruct("_Line", [("taxes", list[_Tax])]))
