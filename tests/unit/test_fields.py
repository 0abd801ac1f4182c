"""Fields: what each accepts, how it normalizes it, and why it refuses the rest. `tests/e2e/test_doors.py` tries them
everywhere that values come in."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fields import catalogue, characters, moments, people, stock, webhooks
from domain.fields.core import BadValue, Text
from tests.nasty import NASTY

CASES = Path(__file__).parents[1] / "data" / "cases"
TEXTS = [
    field
    for room in (people, catalogue, stock, webhooks)
    for field in vars(room).values()
    if isinstance(field, Text) and field is not people.PRINCIPAL
]


def refusal(field: Any, value: object) -> str:
    """The code with which the field refuses the value."""
    with pytest.raises(BadValue) as bad:
        field.parse(value)
    assert bad.value.detail.endswith(".")
    return bad.value.code


@pytest.mark.parametrize("line", (CASES / "07-emails.txt").read_text().splitlines())
def test_an_address_is_accepted_with_surrounding_white_space(line: str) -> None:
    assert people.EMAIL.parse(json.loads(line)) == "ada@example.com"


@pytest.mark.parametrize(
    ("field", "given", "taken"),
    [
        (catalogue.NAME, " Lamp\t", "Lamp"),
        (catalogue.NAME, "\ufeffLamp\u200b", "Lamp"),
        (catalogue.NAME, "Lamp\r\nshade", "Lamp shade"),
        (catalogue.NAME, "e\u0301clair", "\u00e9clair"),
        (catalogue.NAME, "\uff2c\uff41\uff4d\uff50", "\uff2c\uff41\uff4d\uff50"),
        (catalogue.NAME, "\u706f\u7b3c", "\u706f\u7b3c"),
        (catalogue.NAME, "\u0644\u0627\u0645\u067e\u200c\u0647\u0627", "\u0644\u0627\u0645\u067e\u200c\u0647\u0627"),
        (catalogue.DESCRIPTION, "One.\r\n\r\nTwo.\n", "One.\r\n\r\nTwo."),
        (catalogue.TITLE, " ", ""),
        (catalogue.SKU, " mug-1\u00a0", "MUG-1"),
        (catalogue.SLUG, " enamel-mug\n", "enamel-mug"),
        (catalogue.CURRENCY, "GBP ", "GBP"),
        (catalogue.STATUS, " active", "active"),
        (catalogue.BARCODE, " 0012345678905 ", "0012345678905"),
        (catalogue.BARCODE, "LOT-7E12", "LOT-7E12"),
        (catalogue.BARCODE, "12.5", "12.5"),
        (people.PASSWORD, " pa\u0308ssword ", " p\u00e4ssword "),
        (webhooks.URL, " https://shop.example/x ", "https://shop.example/x"),
        (moments.DAY, " 2026-11-28 ", "2026-11-28"),
        (moments.MOMENT, "2026-11-28", "2026-11-28 00:00:00+00:00"),
        (moments.MOMENT, "2026-11-28t12:30z", "2026-11-28 12:30:00+00:00"),
        (moments.MOMENT, "2026-11-28T12:30:00+13:00", "2026-11-27 23:30:00+00:00"),
    ],
)
def test_what_is_accepted_is_normalized(field: Any, given: str, taken: str) -> None:
    assert str(field.parse(given)) == taken


@pytest.mark.parametrize(
    ("field", "given", "code"),
    [
        (catalogue.NAME, "", "blank"),
        (catalogue.NAME, "\u00a0\u200b", "blank"),
        (catalogue.NAME, "x", "too_short"),
        (catalogue.NAME, "x" * 256, "too_long"),
        (catalogue.NAME, "\u0301\u0308", "nothing_shown"),
        (catalogue.NAME, "\u200d\u200d\u200d", "nothing_shown"),
        (catalogue.NAME, "a\0b", "control_character"),
        (catalogue.NAME, "a\u009bb", "control_character"),
        (catalogue.NAME, "a\x0bb", "control_character"),
        (catalogue.NAME, "\ud800 alone", "not_unicode"),
        (catalogue.NAME, "\u202enimda", "turns_direction"),
        (catalogue.NAME, "e" + "\u0301" * 31, "too_many_marks"),
        (catalogue.NAME, 7, "not_text"),
        (catalogue.NAME, None, "not_text"),
        (catalogue.DESCRIPTION, "\x1b[2J", "control_character"),
        (catalogue.SKU, "A B", "not_sku"),
        (catalogue.SKU, "stra\u00dfe", "not_sku"),
        (catalogue.SKU, "", "blank"),
        (catalogue.SKU, "A" * 41, "too_long"),
        (catalogue.SLUG, "Enamel Mug", "not_slug"),
        (catalogue.CURRENCY, "XXX", "unknown_currency"),
        (catalogue.STATUS, "sold", "not_one_of"),
        (catalogue.BARCODE, "5.01235E+12", "damaged_value"),
        (catalogue.BARCODE, "5,01235E+12", "damaged_value"),
        (catalogue.BARCODE, "5012345678900.0", "damaged_value"),
        (catalogue.PRICE, 2.5, "not_whole_number"),
        (catalogue.PRICE, "2", "not_whole_number"),
        (catalogue.PRICE, True, "not_whole_number"),
        (catalogue.PRICE, -1, "too_small"),
        (catalogue.PRICE, 10**10 + 1, "too_large"),
        (people.EMAIL, "ada@example", "not_email"),
        (people.EMAIL, "\uff41da@example.com", "not_email"),
        (people.EMAIL, "ada@example.com\r\nBcc: eve@example.com", "not_email"),
        (people.EMAIL, "a\0da@example.com", "control_character"),
        (people.EMAIL, "a" * 300 + "@example.com", "too_long"),
        (people.ACCOUNT_NAME, "  ", "blank"),
        (people.PASSWORD, "short", "password_length"),
        (people.PASSWORD, "x" * 257, "password_length"),
        (people.PASSWORD, "eight\x07bells", "control_character"),
        (people.PASSWORD, "\udcff" * 9, "not_unicode"),
        (people.PRINCIPAL, "a\nb", "not_printable"),
        (people.PRINCIPAL, "", "blank"),
        (stock.REASON, " ", "blank"),
        (webhooks.URL, "https://user@shop.example/", "not_url"),
        (moments.DAY, "20261128", "not_day"),
        (moments.DAY, "2026-02-30", "not_day"),
        (moments.DAY, "1290000000", "not_day"),
        (moments.MOMENT, "1290000000", "not_moment"),
        (moments.MOMENT, "0001-01-01T00:00:00+13:00", "not_moment"),
        (moments.MOMENT, "2026-11-28T24:30", "not_moment"),
    ],
)
def test_a_refusal_says_why(field: Any, given: object, code: str) -> None:
    assert refusal(field, given) == code


@pytest.mark.parametrize("value", NASTY.values(), ids=NASTY)
@pytest.mark.parametrize("field", TEXTS, ids=lambda field: field.called)
def test_normalizing_twice_changes_nothing(field: Text, value: str) -> None:
    try:
        taken = field.parse(value)
    except BadValue:
        return
    assert field.keeps(taken)
    assert unicodedata.is_normalized("NFC", taken)
    assert "\0" not in taken


@given(st.text(st.characters(codec=None), max_size=400))
def test_any_text_has_a_verdict(text: str) -> None:
    for field in TEXTS:
        try:
            taken = field.parse(text)
        except BadValue:
            continue
        assert field.keeps(taken)
        assert field.least <= len(taken) <= field.most
        taken.encode()


def test_a_letter_under_thousands_of_marks_is_not_normalized(monkeypatch: pytest.MonkeyPatch) -> None:
    """Normalizing takes quadratic time."""
    characters.runs_of_marks()
    monkeypatch.setattr(characters, "unicodedata", None)
    for marks in ("\u0301" * 70_000, "\u0323\u0301" * 35_000):
        assert refusal(catalogue.DESCRIPTION, f"e{marks}") == "too_many_marks"
