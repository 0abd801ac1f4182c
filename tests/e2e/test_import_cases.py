"""Files modelled on those of real shops are imported as they are; what cannot be imported is refused with a precise
reason."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cases import case
from tests.e2e.api import API, Client
from tests.e2e.importing import CSV, brought_in, details, errors, send
from tests.e2e.shop import Shop
from tests.system import System


@pytest.fixture
def system(shop: Shop) -> System:
    return shop.system


@pytest.fixture
def admin(shop: Shop) -> Client:
    return shop.client("admin", "importer")


@pytest.mark.parametrize(
    ("name", "slug", "shown"),
    [
        ("01-blank-line-then-mark.csv", "case-copper-jug", "Medná kanvica \u2013 1 l"),
        ("01-mark-twice.csv", "case-copper-mug", "Medný hrnček"),
    ],
)
async def test_lines_before_the_header_are_skipped(admin: Client, name: str, slug: str, shown: str) -> None:
    tried = await brought_in(admin, case(name), dry_run="true")
    assert (tried["rows"], tried["applied"], tried["encoding"]) == (1, 1, "utf-8")
    assert (await brought_in(admin, case(name)))["applied"] == 1
    assert (await admin.get(f"/products/{slug}")).ok()["name"] == shown


async def test_barcodes_damaged_by_a_spreadsheet_are_refused_as_such(admin: Client) -> None:
    found = await brought_in(admin, case("02-barcodes-of-a-spreadsheet.csv"), dry_run="true")
    assert await errors(admin, found) == [(line, "damaged_value", "barcode") for line in (2, 3, 5)]
    assert all("spreadsheet has rounded or reformatted" in detail for detail in await details(admin, found))
    assert (found["rows"], found["applied"]) == (7, 4)
    await brought_in(admin, case("02-barcodes-of-a-spreadsheet.csv"))
    product = (await admin.get("/products/case-soap")).ok()
    assert {variant["sku"]: variant["barcode"] for variant in product["variants"]} == {
        "CASE-SOAP-3": "5012345678900",
        "CASE-SOAP-5": "5012345678900",
        "CASE-SOAP-6": "0012345678905",
        "CASE-SOAP-7": "LOT-7E12",
    }


@pytest.mark.campaign
@pytest.mark.parametrize("encoding", ["windows-1250", "utf-16", "utf-16le", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
async def test_files_are_imported_as_spreadsheets_write_them(
    admin: Client, encoding: str, separator: str, line_end: str
) -> None:
    rows = [
        ["slug", "name", "sku", "price_minor", "currency", "on_hand", ""],
        ["case-spreadsheet", "Měděný hrneček", "CASE-SPREADSHEET", "1290", "CZK", "7", ""],
        ["", "", "", "", "", "", ""],
    ]
    text = line_end.join(separator.join(row) for row in rows) + line_end
    found = await brought_in(admin, text.encode(encoding))
    assert (found["rows"], found["rejected"]) == (1, 0)
    assert found["encoding"] == {"utf-16": "utf-16le", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    assert (await admin.get("/products/case-spreadsheet")).ok()["name"] == "Měděný hrneček"
    named = {"Content-Type": f"text/csv; charset={encoding.removesuffix('-sig')}"}
    assert (await brought_in(admin, text.encode(encoding), named))["unchanged"] == 1


async def outcomes(admin: Client, found: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """What became of each row, by line."""
    pages = await admin.pages(found["rows_url"].removeprefix(API), limit=2)
    return {row["line"]: row for page in pages for row in page}


async def test_an_export_with_variations(admin: Client) -> None:
    said = {"preset": "woocommerce", "currency": "EUR"}
    tried = await brought_in(admin, case("05-shop-export-w.csv"), CSV, dry_run="true", **said)
    assert (2, "unknown_category", "Categories") in await errors(admin, tried)
    said["create_categories"] = "true"
    tried = await brought_in(admin, case("05-shop-export-w.csv"), CSV, dry_run="true", **said)
    found = await brought_in(admin, case("05-shop-export-w.csv"), CSV, **said)
    for name in ("rows", "created", "changed", "unchanged", "rejected", "categories_created"):
        assert tried[name] == found[name], name
    assert (found["created"], found["rejected"], found["categories_created"]) == (4, 0, 2)
    assert set(found["ignored_columns"]) == {"Is featured?", "In stock?"}
    apron = (await admin.get("/products/linen-apron")).ok()
    assert {variant["sku"]: variant["price_minor"] for variant in apron["variants"]} == {
        "CASE-W-SAND": 2490,
        "CASE-W-MOSS": 2490,
    }
    assert all(variant["attributes"]["Colour"] in ("Sand", "Moss") for variant in apron["variants"])
    pin = (await admin.get("/products/brass-pin")).ok()
    assert (pin["status"], pin["variants"][0]["price_minor"]) == ("draft", 300)
    (kitchen,) = [each for each in (await admin.get("/categories")).ok()["items"] if each["name"] == "Kitchen"]
    assert [(each["name"], each["id"]) for each in kitchen["children"]] == [("Aprons", apron["category_id"])]
    assert pin["category_id"] == kitchen["id"]
    assert (await brought_in(admin, case("05-shop-export-w.csv"), CSV, **said))["unchanged"] == 4


async def test_an_export_with_store_views(admin: Client) -> None:
    said = {"preset": "magento", "currency": "EUR", "weight_unit": "kg", "create_categories": "true"}
    tried = await brought_in(admin, case("05-shop-export-m.csv"), CSV, dry_run="true", **said)
    assert (tried["created"], tried["left_aside"], tried["rejected"]) == (1, 1, 0)
    aside = (await outcomes(admin, tried))[3]
    assert (aside["outcome"], "'de'" in aside["detail"]) == ("left_aside", True)
    await brought_in(admin, case("05-shop-export-m.csv"), CSV, **said)
    (variant,) = (await admin.get("/products/canvas-satchel")).ok()["variants"]
    assert (variant["price_minor"], variant["compare_at_minor"], variant["weight_grams"]) == (3400, None, 1200)
    assert (await admin.get("/inventory/CASE-M-1")).ok()["on_hand"] == 100
    await brought_in(admin, case("05-shop-export-m.csv"), CSV, sale_prices="true", **said)
    (variant,) = (await admin.get("/products/canvas-satchel")).ok()["variants"]
    assert (variant["price_minor"], variant["compare_at_minor"]) == (2950, 3400)


async def test_a_feed_with_tabs_and_two_notations(admin: Client) -> None:
    tsv = {"Content-Type": "text/tab-separated-values"}
    found = await brought_in(admin, case("05-shop-export-g.tsv"), tsv, preset="google")
    assert await errors(admin, found) == [(3, "invalid_value", "price")]
    (variant,) = (await admin.get("/products/case-g-1")).ok()["variants"]
    assert (variant["price_minor"], variant["currency"]) == (4500, "AED")
    assert (await admin.get("/inventory/CASE_G_1")).ok()["on_hand"] == 12
    found = await brought_in(admin, case("05-shop-export-g.tsv"), tsv, preset="google", decimal="comma")
    assert await errors(admin, found) == [(2, "invalid_value", "price")]
    (variant,) = (await admin.get("/products/case-g-2")).ok()["variants"]
    assert (variant["price_minor"], variant["currency"]) == (129_900, "EUR")


async def test_a_dry_run_shows_each_row_s_outcome(admin: Client, system: System, tmp_path: Path) -> None:
    lantern = b"slug,name,sku,price_minor,currency,on_hand\nlantern-white,White metal lantern,LANTERN-WHITE,339,GBP,6\n"
    await brought_in(admin, lantern)
    data = case("06-dry-run.csv") + b"lantern-white,White metal lantern,LANTERN-WHITE,345,GBP,6\nno-such,,X,,,5\n"
    tried = await brought_in(admin, data, dry_run="true")
    assert [tried[name] for name in ("created", "changed", "unchanged", "rejected")] == [1, 1, 1, 1]
    told = await outcomes(admin, tried)
    assert {line: row["outcome"] for line, row in told.items()} == {
        2: "created",
        3: "changed",
        4: "unchanged",
        5: "rejected",
    }
    assert told[3]["changes"] == [{"column": "price_minor", "before": 339, "after": 345}]
    assert (told[3]["slug"], told[3]["sku"], told[5]["code"]) == ("lantern-white", "LANTERN-WHITE", "unknown_sku")
    only = (await admin.get(f"{tried['rows_url'].removeprefix(API)}", outcome="changed")).ok()["items"]
    assert [row["line"] for row in only] == [3]

    file = tmp_path / "dry.csv"
    file.write_bytes(case("06-dry-run.csv"))
    done = system.tidegate("import", str(file), "--dry-run")
    assert done.stdout.startswith("2 rows: 1 would be created, 1 would be changed, 0 unchanged, 0 rejected.")
    assert "price_minor: 339 -> 345" in done.stdout
    found = await brought_in(admin, data)
    assert [found[name] for name in ("created", "changed", "unchanged", "rejected")] == [1, 1, 1, 1]
    assert list(await outcomes(admin, found)) == [5]


@pytest.mark.campaign
async def test_the_cli_takes_the_same_options_as_the_request(system: System, tmp_path: Path) -> None:
    file = tmp_path / "waren.txt"
    file.write_bytes('Artikel;Bezeichnung;Preis\nCLI-1;Große Kanne;"1.299,00"\n'.encode("windows-1252"))
    mapped = ("--map", "Artikel=sku", "--map", "Bezeichnung=name", "--map", "Preis=price")
    done = system.tidegate("import", str(file), *mapped, "--decimal", "comma", "--currency", "EUR")
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [
            "1 rows: 1 created, 0 changed, 0 unchanged, 0 rejected.",
            "Read as windows-1252; --encoding names another.",
        ],
    )
    done = system.tidegate("import", str(file), *mapped, "--currency", "EUR", "--dry-run")
    assert done.returncode == 1
    assert "say whether decimals use" in " ".join(done.stdout.replace("\u2502", " ").split())


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({"preset": "amazon"}, "preset"),
        ({"decimal": ","}, "decimal"),
        ({"currency": "EU"}, "currency"),
        ({"mapping": "[]"}, "mapping"),
        ({"mapping": '{"a": "colour"}'}, "mapping"),
        ({"weight_unit": "stone"}, "weight_unit"),
        ({"separator": ";"}, "separator"),
    ],
)
async def test_invalid_options_for_a_file_are_refused(admin: Client, params: dict[str, str], part: str) -> None:
    problem = (await send(admin, b"sku,on_hand\n", CSV, **params)).problem(422, "invalid_request")
    assert part in str(problem["errors"][0])
