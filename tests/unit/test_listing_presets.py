"""The product exports of other shop systems, as small files in their format: what each row means to our shop."""

from pathlib import Path
from typing import Any, Final

import pytest

from runtime.listings.headers import BadHeader
from runtime.listings.presets import PRESETS
from runtime.listings.presets.base import TooMuchToRemember
from tests import sheets
from tests.cases import case
from tests.sheets import Read, read

FILES: Final = Path(__file__).parents[1] / "data" / "presets"


async def preset(name: str, file: str, **layout: Any) -> Read:
    return await read((FILES / file).read_bytes(), preset=name, **layout)


async def test_shopifys_older_export() -> None:
    found = await preset("shopify", "shopify.csv", currency="EUR", derive_skus=True)
    assert found.rows[2] == {
        "slug": "wool-scarf",
        "name": "Wool scarf",
        "description": '<p>Soft, "warm".</p>',
        "status": "active",
        "sku": "PS-SCARF-MOSS-S",
        "title": "Moss, S",
        "price_minor": 3900,
        "currency": "EUR",
        "compare_at_minor": 4900,
        "weight_grams": 180,
        "barcode": "04006381333931",
        "attributes": {"Colour": "Moss", "Size": "S"},
        "on_hand": 7,
        "category_path": ("Apparel & Accessories", "Scarves"),
    }
    assert found.rows[3] == {
        "slug": "wool-scarf",
        "sku": "PS-SCARF-MOSS-M",
        "title": "Moss, M",
        "price_minor": 3900,
        "currency": "EUR",
        "weight_grams": 190,
        "attributes": {"Colour": "Moss", "Size": "M"},
        "on_hand": 0,
    }
    assert set(found.aside) == {4}
    # Not published, without options, and its stock is not tracked.
    assert (found.rows[5]["status"], found.rows[5]["sku"], found.rows[5]["price_minor"]) == ("draft", "GIFT-WRAP", 250)
    assert not {"on_hand", "attributes", "title"} & found.rows[5].keys()
    assert not found.rejected
    assert {"Vendor", "Image Src", "Cost per item"} <= set(found.ignored)


async def test_shopifys_newer_export() -> None:
    found = await preset("shopify", "shopify-new.csv", currency="EUR")
    assert found.rows[2] == {
        "slug": "clay-bowl",
        "name": "Clay bowl",
        "description": "Hand thrown.",
        "status": "active",
        "sku": "PS-BOWL",
        "price_minor": 1850,
        "currency": "EUR",
        "weight_grams": 640,
        "on_hand": 12,
        "category_path": ("Home & Garden", "Bowls"),
    }


async def test_woocommerce() -> None:
    found = await preset("woocommerce", "woocommerce.csv", currency="EUR", decimal="comma", derive_skus=True)
    assert found.rows[2] == {
        "slug": "oak-board",
        "name": "Oak board",
        "description": "Oiled.\nFood safe.",
        "status": "active",
        "category_path": ("Kitchen", "Boards", "Oak"),
    }
    assert found.rows[3] == {
        "slug": "oak-board",
        "sku": "PW-BOARD-S",
        "title": "Small",
        "price_minor": 2900,
        "currency": "EUR",
        "weight_grams": 1134,  # its parent's
        "attributes": {"Size": "Small"},
        "active": True,
        "on_hand": 9,
    }
    large = found.rows[4]
    assert (large["sku"], large["price_minor"], large["weight_grams"]) == ("OAK-BOARD-LARGE", 104_900, 1814)
    assert large["active"] is False
    assert (found.rows[5]["status"], found.rows[5]["category_path"]) == ("draft", ("Gifts, cards",))
    assert found.rows[5]["attributes"] == {"Material": "Paper"}
    assert "grouped" in found.aside[6]
    assert "PW-GONE" in found.aside[7]


async def test_woocommerce_at_its_sale_prices() -> None:
    found = await preset(
        "woocommerce", "woocommerce.csv", currency="EUR", decimal="comma", derive_skus=True, sale_prices=True
    )
    assert (found.rows[3]["price_minor"], found.rows[3]["compare_at_minor"]) == (2450, 2900)
    assert (found.rows[4]["price_minor"], "compare_at_minor" in found.rows[4]) == (104_900, False)


async def test_magento() -> None:
    found = await preset("magento", "magento.csv", currency="USD", weight_unit="kg", sale_prices=True)
    assert found.rows[2] == {
        "slug": "plain-tee",
        "sku": "PM-TEE-RED",
        "title": "Red",
        "price_minor": 1999,
        "currency": "USD",
        "weight_grams": 450,
        "attributes": {"fabric": "Cotton, combed", "Colour": "Red"},
        "active": True,
        "on_hand": 25,
    }
    blue = found.rows[3]
    assert (blue["price_minor"], blue["compare_at_minor"], blue["active"]) == (1499, 1999, False)
    assert found.rows[4] == {
        "slug": "plain-tee",
        "name": "Tee",
        "description": "<p>Plain.</p>",
        "status": "active",
        "category_path": ("Tops", "Tees"),
    }
    assert "'fr'" in found.aside[5]
    assert "bundle" in found.aside[6]


async def test_prestashop() -> None:
    found = await preset("prestashop", "prestashop.csv", currency="EUR", decimal="comma", weight_unit="kg")
    assert found.rows[2] == {
        "slug": "theiere-emaillee",
        "name": "Théière émaillée",
        "description": "<p>Émail.</p>",
        "status": "active",
        "sku": "PP-THEIERE",
        "price_minor": 2490,
        "currency": "EUR",
        "weight_grams": 1200,
        "barcode": "3760000000017",
        "on_hand": 14,
        "category_path": ("Cuisine", "Thé"),
    }
    # Another product of the same name has another slug.
    assert (found.rows[3]["slug"], found.rows[3]["status"]) == ("theiere-emaillee-pp-theiere-2", "draft")
    assert found.rows[3]["price_minor"] == 104_900


async def test_google() -> None:
    found = await preset("google", "google.tsv")
    assert found.rows[2] == {
        "slug": "pg-coat",
        "name": "Rain coat \u2013 blue",
        "description": "Dry.",
        "status": "active",
        "sku": "PG-1",
        "title": "Blue, M",
        "price_minor": 8900,
        "currency": "GBP",
        "weight_grams": 1100,
        "barcode": "4006381333931",
        "attributes": {"color": "Blue", "size": "M"},
        "category_path": ("Clothing", "Coats"),
    }
    # The second of the group says nothing of the product.
    assert found.rows[3] == {
        "slug": "pg-coat",
        "sku": "PG-2",
        "title": "Red, M",
        "price_minor": 8900,
        "currency": "GBP",
        "weight_grams": 907,
        "attributes": {"color": "Red", "size": "M"},
    }
    code, column, detail = found.rejected[4]  # it may be yen or yuan
    assert (code, column) == ("invalid_value", "price")
    assert "has no currency" in detail
    found = await preset("google", "google.tsv", currency="JPY")
    assert (found.rows[4]["price_minor"], found.rows[4]["currency"]) == (3200, "JPY")


async def test_square() -> None:
    found = await preset("square", "square.csv", currency="USD", decimal="point", derive_skus=True)
    assert found.rows[2] == {
        "slug": "house-blend",
        "name": "House blend",
        "description": "Dark.",
        "status": "active",
        "sku": "PQ-BLEND-250",
        "title": "250 g",
        "price_minor": 850,
        "currency": "USD",
        "weight_grams": 272,
        "attributes": {"Weight": "250 g"},
        "on_hand": 15,  # of both places
        "category_path": ("Coffee",),
    }
    assert (found.rows[3]["sku"], found.rows[3]["price_minor"]) == ("HOUSE-BLEND-1-KG", 102_800)
    assert "on_hand" not in found.rows[3]
    assert (found.rows[4]["status"], found.rows[4]["on_hand"], "title" in found.rows[4]) == ("draft", 3, False)
    assert set(found.aside) == {5, 6}


async def test_the_shop_exports_among_the_cases() -> None:
    found = await read(case("05-shop-export-w.csv"), preset="woocommerce", currency="EUR")
    assert [
        (row["slug"], row.get("sku"), row.get("price_minor"), row.get("status")) for row in found.rows.values()
    ] == [
        ("linen-apron", None, None, "active"),
        ("linen-apron", "CASE-W-SAND", 2490, None),
        ("linen-apron", "CASE-W-MOSS", 2490, None),
        ("brass-pin", "CASE-W-PIN", 300, "draft"),
    ]
    assert found.rows[3]["barcode"] == "4006381333931"
    found = await read(case("05-shop-export-m.csv"), preset="magento", currency="EUR", weight_unit="kg")
    row = found.rows[2]
    assert (row["price_minor"], row["weight_grams"], row["on_hand"]) == (3400, 1200, 100)
    assert list(found.aside) == [3]
    found = await read(case("05-shop-export-g.tsv"), preset="google")
    assert (found.rows[2]["price_minor"], found.rows[2]["currency"], found.rows[2]["on_hand"]) == (4500, "AED", 12)
    assert found.rejected[3][:2] == ("invalid_value", "price")
    found = await read(case("05-shop-export-g.tsv"), preset="google", decimal="comma")
    assert (found.rows[3]["price_minor"], found.rows[3]["currency"]) == (129_900, "EUR")
    assert found.rejected[2][:2] == ("invalid_value", "price")


@pytest.mark.parametrize("name", PRESETS)
async def test_a_file_of_another_system_is_refused(name: str) -> None:
    with pytest.raises(
        BadHeader, match=f"An export of {PRESETS[name].title.split()[0]}.* has a column .*this file has `a`, `b`"
    ):
        await read(b"a,b\n1,2\n", preset=name)


async def test_a_mapping_overrides_single_columns() -> None:
    mapping = {"Categories": "ignore", "SKU": "title", "ID": "sku"}
    found = await read(case("05-shop-export-w.csv"), preset="woocommerce", currency="EUR", mapping=mapping)
    assert "category_path" not in found.rows[5]
    assert (found.rows[5]["sku"], found.rows[5]["title"]) == ("14", "CASE-W-PIN")


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "REMEMBERED", 1)
    with pytest.raises(TooMuchToRemember):  # whose each slug is
        await preset("woocommerce", "woocommerce.csv", currency="EUR", decimal="comma")
    with pytest.raises(TooMuchToRemember):  # the variants of products
        await preset("magento", "magento.csv", currency="EUR", weight_unit="kg")
