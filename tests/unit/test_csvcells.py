"""Cells: text that a spreadsheet could take for a formula is escaped, and unescaped when it is read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.csvcells import escape_cell, unescape_cell

_FORMULAS = "=+-@\t\r\n"


@pytest.mark.parametrize("text", ["", "A mug", "'quoted'", "a=b", "5 - 3", "é"])
def test_text_that_is_not_a_formula_stays_as_it_is(text: str) -> None:
    assert escape_cell(text) == text


@pytest.mark.parametrize("text", [f"{sign}1+2" for sign in _FORMULAS] + ["'=1", "''@SUM(A1)"])
def test_what_could_be_a_formula_is_prefixed_with_an_apostrophe(text: str) -> None:
    assert escape_cell(text) == f"'{text}"


@given(st.text(st.sampled_from("'=+-@\t\r\na")) | st.text())
def test_every_text_round_trips_and_none_begins_a_formula(text: str) -> None:
    cell = escape_cell(text)
    assert unescape_cell(cell) == text
    assert not cell.startswith(tuple(_FORMULAS))
