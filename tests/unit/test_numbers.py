"""Numbers of orders, invoices and credit notes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.numbers import CREDIT_NOTES, INVOICES, ORDERS, SERIES, numbered, parsed_number


def test_numbers_are_short_and_name_their_series() -> None:
    assert numbered(ORDERS, 123) == "T-000123"
    assert numbered(INVOICES, 1) == "INV-000001"
    assert numbered(CREDIT_NOTES, 1_234_567) == "CN-1234567"


@given(st.sampled_from(SERIES), st.integers(1, 10**15))
def test_a_number_is_read_as_it_was_written(series: str, count: int) -> None:
    assert parsed_number(numbered(series, count)) == (series, count)


@pytest.mark.parametrize("typed", ["T-000123", "t-123", " T 123 ", "t000123", "T-0000000123"])
def test_people_may_type_it_as_they_like(typed: str) -> None:
    assert parsed_number(typed) == (ORDERS, 123)


@pytest.mark.parametrize(
    "typed", ["", "T", "T-0", "T-000000", "123", "X-000123", "T--123", "T-12 3", "T-1\u0663", "T-" + "9" * 19]
)
def test_other_texts_are_not_numbers(typed: str) -> None:
    assert parsed_number(typed) is None
