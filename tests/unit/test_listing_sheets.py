"""Files of no particular system: columns are mapped, units are given, and nothing is guessed."""

from typing import Any

import pytest

from runtime.listings.headers import BadHeader
from runtime.listings.layout import Layout
from runtime.listings.sheets import BadLayout, check_layout
from tests.sheets import read

GERMAN = (
    "Artikel;Bezeichnung;Preis;Gewicht;Bestand;Farbe;Warengruppe;Notiz\r\n"
    'K-1;Kanne, groß;"1.299,00";0,75;12;Rot;Küche / Kannen;x\r\n'
)
MAPPING = {
    "Artikel": "sku",
    "Bezeichnung": "name",
    "Preis": "price",
    "Gewicht": "weight",
    "Bestand": "on_hand",
    "Farbe": "option:Farbe",
    "Warengruppe": "category_path",
}


async def test_columns_are_mapped_with_their_units() -> None:
    found = await read(
        GERMAN.encode("windows-1252"),
        mapping=MAPPING,
        decimal="comma",
        currency="EUR",
        weight_unit="kg",
        category_separator="/",
    )
    assert found.rows == {
        2: {
            "slug": "kanne-gross",
            "name": "Kanne, groß",
            "sku": "K-1",
            "title": "Rot",
            "price_minor": 129_900,
            "currency": "EUR",
            "weight_grams": 750,
            "attributes": {"Farbe": "Rot"},
            "on_hand": 12,
            "category_path": ("Küche", "Kannen"),
        }
    }
    assert found.ignored == ("Notiz",)


@pytest.mark.parametrize(
    ("left_out", "column", "sentence"),
    [
        ("decimal", "Preis", "say whether"),
        ("currency", "Preis", "has no currency"),
        ("weight_unit", "Gewicht", "has no unit"),
    ],
)
async def test_what_is_not_given_is_not_guessed(left_out: str, column: str, sentence: str) -> None:
    layout: dict[str, Any] = {"mapping": MAPPING, "decimal": "comma", "currency": "EUR", "weight_unit": "kg"}
    del layout[left_out]
    found = await read(GERMAN.encode(), **layout)
    assert not found.rows
    code, where, detail = found.rejected[2]
    assert (code, where in (column, "Gewicht")) == ("invalid_value", True)
    assert sentence in detail


async def test_standard_columns_may_be_combined_with_amounts_and_paths() -> None:
    data = (
        b"slug,name,sku,price,weight,category_path,published,option:Size\na,A lamp,A-1,9.5,1.2 kg,Home > Lamps,yes,L\n"
    )
    found = await read(data, decimal="point", currency="GBP")
    assert found.rows[2] == {
        "slug": "a",
        "name": "A lamp",
        "status": "active",
        "sku": "A-1",
        "title": "L",
        "price_minor": 950,
        "currency": "GBP",
        "weight_grams": 1200,
        "attributes": {"Size": "L"},
        "category_path": ("Home", "Lamps"),
    }


async def test_a_currency_may_be_given_for_prices_in_minor_units() -> None:
    data = b"sku,price_minor,currency\nA,5,\nB,5,USD\n"
    found = await read(data, currency="GBP")
    assert [row["currency"] for row in found.rows.values()] == ["GBP", "USD"]


async def test_skus_are_derived_from_slug_and_options_and_never_twice() -> None:
    data = (
        "slug,name,sku,price_minor,currency,option:Size\n"
        "lamp,A lamp,,5,GBP,L\n"
        "lamp,,,5,GBP,XL\n"
        "lamp,,,6,GBP,L\n"
        "lamp,,,5,GBP,大\n"
        f"{'l' * 60},Long one,,5,GBP,\n"
        "only-product,Only a product,,,,\n"
    )
    found = await read(data.encode(), derive_skus=True)
    assert [found.rows[line]["sku"] for line in (2, 3)] == ["LAMP-L", "LAMP-XL"]
    assert found.rejected[4][:2] == ("sku_taken", "sku")
    assert found.rows[5]["sku"].startswith("LAMP-")
    assert len(found.rows[6]["sku"]) == 40
    assert "sku" not in found.rows[7]
    again = await read(data.encode(), derive_skus=True)
    assert again == found


@pytest.mark.parametrize(
    ("header", "layout", "said"),
    [
        ("sku,colour", {}, "Unknown columns: `colour`. The known columns are `slug`, .*`published`.*preset"),
        ("sku,price,price_minor", {}, "in different units"),
        ("a,b", {"mapping": {"a": "sku", "c": "name"}}, "The mapping names `c`, but the file has `a`, `b`"),
        ("a,b", {"mapping": {"a": "sku", "b": "sku"}}, "Duplicate columns: `sku`"),
        ("a,b", {"mapping": {"a": "price"}}, "neither"),
    ],
)
async def test_headers_that_are_refused(header: str, layout: dict[str, Any], said: str) -> None:
    with pytest.raises(BadHeader, match=said):
        await read(header.encode() + b"\n", **layout)


@pytest.mark.parametrize(
    ("layout", "field"),
    [
        (Layout(preset="amazon"), "preset"),
        (Layout(currency="eur"), "currency"),
        (Layout(mapping={"a": "colour"}), "mapping"),
        (Layout(mapping={"a": "option:"}), "mapping"),
    ],
)
def test_invalid_layouts_are_refused(layout: Layout, field: str) -> None:
    with pytest.raises(BadLayout) as bad:
        check_layout(layout)
    assert bad.value.field == field
