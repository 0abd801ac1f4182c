"""Keyset pagination: a cursor is the key of the last row, and nothing else is accepted as one."""

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.pages import decode_cursor, encode_cursor, page_of
from gateway.web.problems import Problem


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_cursor_contains_its_key(key: str) -> None:
    cursor = encode_cursor(key)
    assert decode_cursor(cursor, str) == key
    assert cursor.isascii()
    assert not set(cursor) & set("=+/&?#% ")


@given(st.text())
def test_any_text_is_a_cursor_or_a_problem(text: str) -> None:
    with suppress(Problem):
        assert isinstance(decode_cursor(text, UUID), UUID)


@pytest.mark.parametrize(
    ("rows", "limit", "items", "last"),
    [
        ([], 2, [], None),
        (["a"], 2, ["a"], None),
        (["a", "b"], 2, ["a", "b"], None),
        (["a", "b", "c"], 2, ["a", "b"], "b"),
        (["a", "b"], 1, ["a"], "a"),
    ],
)
def test_a_page_knows_whether_there_is_another(rows: list[str], limit: int, items: list[str], last: str | None) -> None:
    page = page_of(rows, limit, key=str)
    assert page.items == items
    assert page.next_cursor == (None if last is None else encode_cursor(last))
