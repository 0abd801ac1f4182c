"""Rows of a listing: what each says, and the values that are refused."""

from uuid import UUID

import msgspec
import pytest
from msgspec import UNSET

from domain.limits import DESCRIPTION_MAX_CHARS, NAME_MAX_CHARS, PRICE_MAX_MINOR, STOCK_MAX_ON_HAND
from runtime.listings.columns import COLUMNS
from runtime.listings.rows import BadRow, Row, read_cells, read_json


def row(**cells: str) -> Row:
    return read_cells(tuple(cells), list(cells.values()))


def test_a_whole_row() -> None:
    cells = [
        *("lamp", "A lamp", "Bright.", "lights", "active", "lamp-1", "Red", "250", "GBP", "300", "85", "4006381333931"),
        *('{"colour": "red"}', "TRUE", "12"),
    ]
    assert read_cells(COLUMNS, cells) == Row(
        slug="lamp",
        name="A lamp",
        description="Bright.",
        category="lights",
        status="active",
        sku="LAMP-1",
        title="Red",
        price_minor=250,
        currency="GBP",
        compare_at_minor=300,
        weight_grams=85,
        barcode="4006381333931",
        attributes={"colour": "red"},
        active=True,
        on_hand=12,
    )


def test_an_empty_cell_is_not_a_missing_column() -> None:
    assert row(sku="A", title="").title is None
    assert row(sku="A").title is UNSET
    assert read_json(b'{"sku": "A", "title": null}').title is None
    assert read_json(b'{"sku": "A"}').title is UNSET


def test_what_was_escaped_for_spreadsheets_is_text_again() -> None:
    assert row(slug="a", name="'=SUM(A1)").name == "=SUM(A1)"
    assert row(slug="a", name="'tis the season").name == "'tis the season"


def test_what_a_row_describes() -> None:
    assert not row(slug="a", sku="B", on_hand="3").speaks_of_product
    assert not row(slug="a", sku="B", on_hand="3").speaks_of_variant
    assert row(slug="a", name="Lamp").speaks_of_product
    assert row(sku="B", price_minor="0").speaks_of_variant
    assert row(sku="B", active="false").speaks_of_variant
    assert not read_cells(COLUMNS, [*[""] * 5, "B", *[""] * 8, "7"]).speaks_of_variant


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("slug", "Not A Slug"),
        ("slug", "x" * 121),
        ("name", "x"),
        ("name", "x" * (NAME_MAX_CHARS + 1)),
        ("description", "x" * (DESCRIPTION_MAX_CHARS + 1)),
        ("name", "with \0 in it"),
        ("description", "\x1b[31m"),
        ("category", "no slug"),
        ("status", "sold"),
        ("title", "x" * (NAME_MAX_CHARS + 1)),
        ("price_minor", "2.50"),
        ("price_minor", "1e3"),
        ("price_minor", "٣"),
        ("price_minor", "-1"),
        ("price_minor", str(PRICE_MAX_MINOR + 1)),
        ("price_minor", "9" * 30),
        ("currency", "gbp"),
        ("currency", "XXX"),
        ("compare_at_minor", "much"),
        ("weight_grams", "-5"),
        ("barcode", "1" * 65),
        ("attributes", "red"),
        ("attributes", '{"a": 1}'),
        ("attributes", '{"a": "\\u001b"}'),
        ("attributes", msgspec.json.encode({"k" * 101: "v"}).decode()),
        ("attributes", msgspec.json.encode({str(n): "v" for n in range(21)}).decode()),
        ("attributes", "[" * 5_000),
        ("active", "maybe"),
        ("on_hand", str(STOCK_MAX_ON_HAND + 1)),
        ("on_hand", "-1"),
    ],
)
def test_invalid_values_are_refused(column: str, value: str) -> None:
    said = {"slug": "a", "sku": "A"} | {column: value}
    with pytest.raises(BadRow) as bad:
        row(**said)
    assert (bad.value.code, bad.value.column) == ("invalid_value", column)
    assert len(bad.value.detail) < 300


def test_an_invalid_sku_is_refused() -> None:
    with pytest.raises(BadRow) as bad:
        row(sku="with space")
    assert (bad.value.code, bad.value.column) == ("invalid_value", "sku")


@pytest.mark.parametrize("said", [{"name": "A lamp"}, {"slug": "a", "price_minor": "5"}, {"slug": "a", "on_hand": "5"}])
def test_a_row_must_name_what_it_is_about(said: dict[str, str]) -> None:
    with pytest.raises(BadRow) as bad:
        row(**said)
    assert bad.value.code == "nothing_named"


def test_cells_beyond_the_columns_may_be_empty() -> None:
    assert read_cells(("sku", ""), ["a", " ", "", ""]).sku == "A"
    with pytest.raises(BadRow, match="no name") as bad:
        read_cells(("sku", ""), ["a", "b"])
    assert bad.value.code == "wrong_cell_count"


@pytest.mark.parametrize(
    "damaged", ["5.01235E+12", "5,01235E+12", "5.01e12", "5E+12", "5012345678900.0", "5012345678900,00"]
)
@pytest.mark.parametrize("column", ["sku", "barcode"])
def test_codes_that_a_spreadsheet_turned_into_numbers_are_refused(damaged: str, column: str) -> None:
    with pytest.raises(BadRow, match="A spreadsheet has rounded or reformatted this code") as bad:
        row(**{"slug": "a", "sku": "A", column: damaged})
    assert (bad.value.code, bad.value.column) == ("damaged_value", column)
    with pytest.raises(BadRow, match="A spreadsheet has rounded or reformatted this code"):
        read_json(msgspec.json.encode({"slug": "a", "sku": "A", column: damaged}))


@pytest.mark.parametrize("code", ["5012345678900", "0012345678905", "LOT-7E12", "7E12", "12.5", "1.0"])
def test_codes_that_only_look_like_numbers_are_kept(code: str) -> None:
    assert row(sku="A", barcode=code).barcode == code
    assert row(sku="A", barcode=f'="{code}"').barcode == code


@pytest.mark.parametrize("cells", [["a"], ["a", "b", "c"]])
def test_a_row_has_as_many_cells_as_there_are_columns(cells: list[str]) -> None:
    with pytest.raises(BadRow) as bad:
        read_cells(("slug", "name"), cells)
    assert bad.value.code == "wrong_cell_count"


@pytest.mark.parametrize(
    ("line", "code", "column"),
    [
        (b"", "malformed_json", None),
        (b"{", "malformed_json", None),
        (b'{"slug": "a", "price_minor": 2.5}', "invalid_value", "price_minor"),
        (b'{"slug": "a", "price_minor": "2"}', "invalid_value", "price_minor"),
        (b'{"slug": "a", "attributes": {"a": 1}}', "invalid_value", "attributes"),
        (b'{"slug": "a", "colour": "red"}', "invalid_value", None),
        (b"[]", "invalid_value", None),
        (b"[" * 100_000, "malformed_json", None),
        (b'{"slug": "a", "name": "with \\u0000"}', "invalid_value", "name"),
        (b'{"sku": "A", "attributes": {"a": "\\u0000"}}', "invalid_value", "attributes"),
        (b'{"slug": "a", "name": "\\ud800 alone"}', "malformed_json", None),
        (b'{"slug": "a", "price_minor": 99999999999999999999999999}', "invalid_value", "price_minor"),
    ],
)
def test_lines_of_json_that_are_refused(line: bytes, code: str, column: str | None) -> None:
    with pytest.raises(BadRow) as bad:
        read_json(line)
    assert (bad.value.code, bad.value.column) == (code, column)


def test_a_row_about_a_price_list_says_all_of_a_price_and_nothing_else() -> None:
    price = {"sku": "lamp", "price_list": str(UUID(int=7)), "price_minor": "200", "currency": "GBP"}
    assert row(**price, min_quantity="10") == Row(
        sku="LAMP", price_list=UUID(int=7), price_minor=200, currency="GBP", min_quantity=10
    )
    for wrong, column in (
        ({**price, "price_list": "sale"}, "price_list"),
        ({**price, "price_list": "", "min_quantity": "2"}, "price_list"),
        ({**price, "currency": ""}, "currency"),
        ({**price, "price_minor": ""}, "price_minor"),
        ({**price, "min_quantity": "0"}, "min_quantity"),
        ({**price, "title": "Red"}, "price_list"),
        ({**price, "slug": "lamp", "name": "Lamp"}, "price_list"),
        ({**price, "on_hand": "1"}, "price_list"),
    ):
        with pytest.raises(BadRow) as bad:
            row(**wrong)
        assert bad.value.column == column, wrong
