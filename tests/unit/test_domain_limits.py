"""The canonical form of a SKU."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fields.catalogue import canonical_sku
from domain.fields.characters import stripped
from domain.limits import SKU_MAX_CHARS

ALPHABET = "ABCXYZ0189._-"
written = st.text(ALPHABET + ALPHABET.lower(), min_size=1, max_size=SKU_MAX_CHARS)


@pytest.mark.parametrize(
    ("text", "sku"),
    [
        ("85123A", "85123A"),
        ("85123a", "85123A"),
        (" 85123a\u00a0\n", "85123A"),
        ("gift_0001-20.b", "GIFT_0001-20.B"),
        ("A" * SKU_MAX_CHARS, "A" * SKU_MAX_CHARS),
    ],
)
def test_a_sku_is_upper_case(text: str, sku: str) -> None:
    assert canonical_sku(text) == sku


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "A B",
        "-A",
        "_A",
        ".A",
        "A/B",
        "A" * (SKU_MAX_CHARS + 1),
        "A\x00",
        "A\nB",
        "straße",
        "\N{LATIN SMALL LETTER LONG S}ku",
        "É",
    ],
)
def test_what_is_not_a_sku_has_no_canonical_form(text: str) -> None:
    assert canonical_sku(text) is None


@given(written)
def test_codes_that_differ_only_in_case_are_one_sku(text: str) -> None:
    assert canonical_sku(text) == canonical_sku(text.lower()) == canonical_sku(text.upper())


@given(st.text())
def test_the_canonical_form_is_stable_and_ascii(text: str) -> None:
    sku = canonical_sku(text)
    if sku is not None:
        assert canonical_sku(sku) == sku
        assert sku == stripped(text).upper()
        assert len(sku) <= SKU_MAX_CHARS
        assert set(sku) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
