"""Numbers as people write them: read in the notation given for the file, or refused."""

import pytest

from runtime.listings.amounts import BadNumber, Notation, amount_of, count_of, decimal_of, grams_of

UNSAID = Notation(None, said=False)
POINT, COMMA = Notation("point", said=True), Notation("comma", said=True)
CUSTOM = Notation("point", said=False)


@pytest.mark.parametrize(
    ("text", "notation", "minor"),
    [
        ("300", UNSAID, 30_000),
        ("19.90", POINT, 1_990),
        ("19.90", CUSTOM, 1_990),
        ("34.000000", CUSTOM, 3_400),
        (".5", POINT, 50),
        ("1,299.00", POINT, 129_900),
        ("1 299.00", POINT, 129_900),
        ("1'299.00", POINT, 129_900),
        ("19,90", COMMA, 1_990),
        ("1.299,00", COMMA, 129_900),
        ("1.299", COMMA, 129_900),
        ("1\u202f299,00", COMMA, 129_900),
        ("1.234.567,89", COMMA, 123_456_789),
        ("45.00 EUR", POINT, 4_500),
        ("EUR 45.00", POINT, 4_500),
        ("\u20ac45.00", POINT, 4_500),
        ("45,00\u00a0\u20ac", COMMA, 4_500),
    ],
)
def test_amounts(text: str, notation: Notation, minor: int) -> None:
    assert amount_of(text, "EUR", notation) == (minor, "EUR")


@pytest.mark.parametrize(
    ("text", "notation"),
    [
        *((text, UNSAID) for text in ("19.90", "1.299,00", "1.299", "1,299", "x", "")),
        *((text, CUSTOM) for text in ("1.299,00", "1.299", "1,299", "1,299.00", "12,90")),
        *(
            (text, POINT)
            for text in ("1.299,00", "12,90", "1,29", "1,2999", "-5", "+5", "1e3", "5.", "0.005", "\u0663")
        ),
        *((text, COMMA) for text in ("12.90", "1.29", "1,299.00", "--", "9" * 200)),
        ("\u00a35", POINT),
    ],
)
def test_amounts_that_are_refused(text: str, notation: Notation) -> None:
    with pytest.raises(BadNumber):
        amount_of(text, "EUR", notation)


@pytest.mark.parametrize("text", ["$5", "5", "\u00a35"])
def test_an_amount_without_a_currency_is_refused(text: str) -> None:
    with pytest.raises(BadNumber, match="has no currency"):
        amount_of(text, None, POINT)


@pytest.mark.parametrize(
    ("text", "currency", "found"),
    [
        ("45.00 AED", None, (4_500, "AED")),
        ("45.00 AED", "EUR", (4_500, "AED")),
        ("\u20ac5", None, (500, "EUR")),
        ("$5", "CAD", (500, "CAD")),
        ("500", "JPY", (500, "JPY")),
        ("1.234", "KWD", (1_234, "KWD")),
    ],
)
def test_currencies(text: str, currency: str | None, found: tuple[int, str]) -> None:
    assert amount_of(text, currency, POINT) == found


@pytest.mark.parametrize(
    ("text", "unit", "grams"),
    [
        ("0.35", "kg", 350),
        ("1.2000", "kg", 1_200),
        ("1.1 kg", "g", 1_100),
        ("2 lb", None, 907),
        ("12", "oz", 340),
        ("0", None, 0),
    ],
)
def test_weights(text: str, unit: str | None, grams: int) -> None:
    assert grams_of(text, unit, POINT) == grams


@pytest.mark.parametrize(("text", "unit"), [("5", None), ("5 stone", "kg"), ("heavy", "kg"), ("", "kg")])
def test_weights_that_are_refused(text: str, unit: str | None) -> None:
    with pytest.raises(BadNumber):
        grams_of(text, unit, POINT)


def test_pieces() -> None:
    assert [count_of(text) for text in ("12", "100.0000", " 0 ")] == [12, 100, 0]
    for text in ("1.5", "-3", "", "many", "1,000"):
        with pytest.raises(BadNumber):
            count_of(text)


def test_a_group_is_three_digits() -> None:
    with pytest.raises(BadNumber):
        decimal_of("1,23,456", POINT)
