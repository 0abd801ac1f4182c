"""Import and export: files of listings imported row by row, and the catalogue and the orders as files."""

import csv
import io
import json
from pathlib import Path
from typing import Final

import pytest

from runtime.listings.columns import COLUMNS
from tests.e2e.api import Client
from tests.e2e.importing import CSV, JSON_LINES, article, brought_in, counts, errors, finished, send, sheet
from tests.e2e.shop import Shop
from tests.system import System

EXPORT: Final = "/exports/products.csv"


@pytest.fixture
def system(shop: Shop) -> System:
    return shop.system


@pytest.fixture
def admin(shop: Shop) -> Client:
    return shop.client("admin", "importer")


def rows_of(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


async def exported(admin: Client) -> dict[str, dict[str, str]]:
    """The rows of an export by SKU, or slug for products without variants."""
    return {row["sku"] or row["slug"]: row for row in rows_of((await admin.get(EXPORT)).body)}


async def test_importing_a_file_again_changes_nothing(admin: Client) -> None:
    data = sheet(article(number) for number in range(100))
    assert counts(await brought_in(admin, data)) == (100, 100, 0, 0)
    assert counts(await brought_in(admin, data)) == (100, 0, 100, 0)
    row = (await exported(admin))["ARTICLE-7"]
    assert row == {
        **dict.fromkeys(COLUMNS, ""),
        **{column: str(value) for column, value in article(7).items()},
        "active": "true",
    }


async def test_importing_an_export_changes_nothing(admin: Client, shop: Shop) -> None:
    category = {"slug": "odd-things", "name": "Odd things"}
    rows: list[dict[str, object]] = [
        {"slug": "odd", "name": "=1+1", "description": '+"two"\r\nlines, and\ta tab', "sku": "ODD-1", "price_minor": 0,
         "currency": "JPY", "title": "''-quoted", "attributes": '{"colour": "rot, grün", "=": "@x"}', "active": "no"},
        {"slug": "odd", "sku": "ODD-2", "price_minor": 10**10, "currency": "KWD", "compare_at_minor": 5,
         "weight_grams": 1, "barcode": "-400", "on_hand": 2_000_000_000},
        {"slug": "bare", "name": "Bare", "status": "archived"},
    ]  # fmt: skip
    (await admin.post("/categories", category)).ok(201)
    rows[0]["category"] = category["slug"]
    assert counts(await brought_in(admin, sheet(rows))) == (3, 3, 0, 0)
    export = await admin.get(EXPORT)
    assert export.headers["Content-Disposition"] == 'attachment; filename="products.csv"'
    assert list(rows_of(export.body)[0]) == list(COLUMNS)
    assert {"'=1+1", "''-quoted", "'-400"} <= {cell for row in rows_of(export.body) for cell in row.values()}
    again = await brought_in(admin, export.body)
    assert counts(again) == (len(rows_of(export.body)), 0, len(rows_of(export.body)), 0)
    assert (await admin.get(EXPORT)).body == export.body
    stored = await shop.database.fetchrow("SELECT name, description FROM products WHERE slug = 'odd'")
    assert tuple(stored) == ("=1+1", '+"two"\r\nlines, and\ta tab')


async def test_an_export_for_excel_starts_with_a_byte_order_mark_and_can_be_imported_unchanged(
    admin: Client, system: System, tmp_path: Path
) -> None:
    await brought_in(admin, sheet([article(7, name="Měděný hrneček \u2013 café")]))
    plain = (await admin.get(EXPORT)).body
    marked = (await admin.get(EXPORT, bom="true")).body
    assert marked == b"\xef\xbb\xbf" + plain
    again = await brought_in(admin, marked)
    assert counts(again) == (len(rows_of(plain)), 0, len(rows_of(plain)), 0)
    assert (await admin.get("/exports/orders.csv", bom="true")).body.startswith(b"\xef\xbb\xbforder_id")
    out = tmp_path / "out.csv"
    assert system.tidegate("export", "products", "--bom", "-o", str(out)).returncode == 0
    assert out.read_bytes() == marked


async def test_json_lines_are_imported_like_csv(admin: Client) -> None:
    rows = [
        {
            "slug": "json",
            "name": "Jason",
            "sku": "json-1",
            "price_minor": 5,
            "currency": "EUR",
            "attributes": {"a": "b"},
        },
        {"sku": "JSON-1", "on_hand": 4},
        {"sku": "JSON-1", "price_minor": 6},
    ]
    data = b"\n".join(json.dumps(row).encode() for row in rows)
    assert counts(await brought_in(admin, data, JSON_LINES)) == (3, 3, 0, 0)
    row = (await exported(admin))["JSON-1"]
    assert (row["price_minor"], row["on_hand"], row["attributes"], row["currency"]) == ("6", "4", '{"a": "b"}', "EUR")


async def test_bad_rows_are_reported_by_line_and_the_rest_is_applied(admin: Client) -> None:
    lines = [
        b"slug,name,category,sku,price_minor,currency,on_hand",
        b"good-1,Good,,GOOD-1,5,GBP,1",
        b'two-lines,"Two',
        b'lines",,TWO-1,5,GBP,1',
        b"bad-price,Bad,,BAD-1,5.5,GBP,1",
        b"no-category,Bad,nowhere,BAD-2,5,GBP,1",
        b"",
        b"too,many,,BAD-3,5,GBP,1,x",
        b"bad-\xff,Bad,,BAD-4,5,GBP,1",
        b'open,"quote,,BAD-5,5,GBP,1',
        b"other-product,Other,,GOOD-1,5,GBP,1",
        b",,,NO-SUCH-SKU,,,1",
        b"good-2,Good,,GOOD-2,5,GBP,1",
        b"long," + b"x" * 300_000,
        b"good-1,,,GOOD-1,,,7",
    ]
    found = await brought_in(admin, b"\n".join(lines), {"Content-Type": "text/csv; charset=utf-8"})
    assert await errors(admin, found) == [
        (5, "invalid_value", "price_minor"),
        (6, "unknown_category", "category"),
        (8, "wrong_cell_count", None),
        (9, "invalid_utf8", None),
        (10, "row_too_long", None),
        (11, "sku_taken", "sku"),
        (12, "unknown_sku", "sku"),
        (14, "row_too_long", None),
    ]
    assert counts(found) == (12, 4, 0, 8)
    rows = await exported(admin)
    assert (rows["GOOD-1"]["on_hand"], rows["TWO-1"]["name"], rows["GOOD-2"]["on_hand"]) == ("7", "Two lines", "1")


async def test_a_count_below_what_is_reserved_is_refused(admin: Client, shop: Shop) -> None:
    await brought_in(admin, sheet([article(9_000, on_hand=5)]))
    await shop.customer().placed({"ARTICLE-9000": 3})
    found = await brought_in(admin, b"sku,on_hand\nARTICLE-9000,2\nARTICLE-9000,3\n")
    assert await errors(admin, found) == [(2, "insufficient_stock", "on_hand")]
    assert await admin.inventory("ARTICLE-9000") == (3, 3, 0)


async def test_the_last_row_about_something_wins(admin: Client) -> None:
    rows = [article(8_000, price_minor=price, on_hand=price) for price in range(1, 120)]
    assert counts(await brought_in(admin, sheet(rows))) == (119, 119, 0, 0)
    row = (await exported(admin))["ARTICLE-8000"]
    assert (row["price_minor"], row["on_hand"]) == ("119", "119")


async def test_a_dry_run_shows_the_outcome_and_changes_nothing(admin: Client, shop: Shop) -> None:
    rows = [
        *(article(7_000 + number) for number in range(50)),
        *(article(7_000 + number) for number in range(50)),  # in another window, after the first
        article(7_001, slug="another"),
        {"sku": "ARTICLE-7002", "on_hand": 9},
        article(7_003, category="nowhere"),
    ]
    seq = await shop.database.fetchval("SELECT last_seq FROM event_counter")
    tried = await brought_in(admin, sheet(rows), dry_run="true")
    assert tried["dry_run"] is True
    told = await shop.database.fetch("SELECT DISTINCT type FROM events WHERE seq > $1", seq)
    assert {row["type"] for row in told} == {"job.requested", "job.finished"}
    assert "ARTICLE-7000" not in await exported(admin)
    applied = await brought_in(admin, sheet(rows))
    assert counts(tried) == counts(applied) == (103, 51, 50, 2)
    assert await errors(admin, tried) == await errors(admin, applied)


async def test_a_repeated_request_is_one_import(admin: Client) -> None:
    keyed = {**CSV, "Idempotency-Key": "import-once"}
    first = (await send(admin, sheet([article(1)]), keyed)).ok(202)
    again = await send(admin, sheet([article(1)]), keyed)
    assert again.ok(202) == first
    assert again.headers["Idempotency-Replayed"] == "true"
    (await send(admin, sheet([article(2)]), keyed)).problem(422, "idempotency_key_reused")
    (await send(admin, sheet([article(1)]), keyed, dry_run="true")).problem(422, "idempotency_key_reused")
    assert (await finished(admin, first["status_url"]))["status"] == "succeeded"


async def test_an_import_without_rows_succeeds(admin: Client) -> None:
    assert counts(await brought_in(admin, b"slug,name\n")) == (0, 0, 0, 0)
    assert counts(await brought_in(admin, b"", JSON_LINES)) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"slug,colour\n", "text/csv", 422, "bad_header"),
        (b"", "text/csv", 422, "bad_header"),
        (b"slug;name;colour\n", "text/csv", 422, "bad_header"),
        (b"slug,name\n", "application/json", 415, "unsupported_media_type"),
        (b"slug,name\n", "text/csv; charset=koi8-r", 415, "unsupported_media_type"),
        (b"slug,name\n", "", 415, "unsupported_media_type"),
    ],
)
async def test_files_that_are_refused_at_once(
    admin: Client, data: bytes, content_type: str, status: int, code: str
) -> None:
    (await send(admin, data, {"Content-Type": content_type})).problem(status, code)


async def test_only_admins_import_and_staff_export(shop: Shop) -> None:
    staff, customer = shop.staff, shop.customer()
    (await send(staff, sheet([]))).problem(403, "forbidden")
    assert (await staff.get(EXPORT)).status == 200
    (await customer.get(EXPORT)).problem(403, "forbidden")
    (await staff.get("/imports/00000000-0000-0000-0000-000000000000")).problem(403, "forbidden")


async def test_imports_are_listed_newest_first(admin: Client) -> None:
    first, second = [(await send(admin, b"slug,name\n")).ok(202)["id"] for _ in range(2)]
    listed = [found["id"] for found in (await admin.get("/imports", limit=2)).ok()["items"]]
    assert listed == [second, first]
    (await admin.get("/imports/00000000-0000-0000-0000-000000000000")).problem(404, "not_found")
    (await admin.get(f"/imports/{first}/errors", cursor="bm9uZQ")).problem(422, "invalid_request")


async def test_orders_are_exported_line_by_line(admin: Client, shop: Shop) -> None:
    await brought_in(admin, sheet(article(6_000 + number, on_hand=9) for number in range(2)))
    customer = shop.client("customer", "=cmd")
    order = await customer.placed({"ARTICLE-6000": 2, "ARTICLE-6001": 1})
    rows = [row for row in rows_of((await admin.get("/exports/orders.csv")).body) if row["order_id"] == order["id"]]
    assert [(row["sku"], row["quantity"], row["unit_price_minor"]) for row in rows] == [
        ("ARTICLE-6000", "2", str(100 + 6_000 % 900)),
        ("ARTICLE-6001", "1", str(100 + 6_001 % 900)),
    ]
    assert {(row["customer_id"], row["status"], row["currency"]) for row in rows} == {("'=cmd", "placed", "GBP")}
    placed_at = rows[0]["placed_at"]
    for params, found in (
        ({"from": placed_at}, True),
        ({"to": placed_at}, False),
        ({"from": "2000-01-01", "to": "2001-01-01"}, False),
        ({"status": "cancelled"}, False),
        ({"status": "placed"}, True),
    ):
        body = (await admin.get("/exports/orders.csv", **params)).body
        assert (order["id"].encode() in body) is found, params
    (await admin.get("/exports/orders.csv", status="lost")).problem(422, "invalid_request")


@pytest.mark.campaign
async def test_the_cli_exports_and_imports(system: System, tmp_path: Path) -> None:
    file = tmp_path / "goods.csv"
    file.write_bytes(sheet(article(5_000 + number) for number in range(3)))
    done = system.tidegate("import", str(file), "--dry-run")
    assert (done.returncode, done.stdout.splitlines()[0]) == (
        0,
        "3 rows: 3 would be created, 0 would be changed, 0 unchanged, 0 rejected.",
    )
    done = system.tidegate("import", str(file))
    assert (done.returncode, done.stdout) == (0, "3 rows: 3 created, 0 changed, 0 unchanged, 0 rejected.\n")
    out = tmp_path / "out.csv"
    assert system.tidegate("export", "products", "-o", str(out)).returncode == 0
    assert b"ARTICLE-5002" in out.read_bytes()
    assert system.tidegate("export", "orders", "-o", "-", "--status", "expired").stdout.startswith("order_id,")
    file.write_bytes(b"sku,on_hand\nNOWHERE,5\n")
    done = system.tidegate("import", str(file))
    assert done.returncode == 1
    assert "NOWHERE" in done.stdout
    assert "unknown_sku" in done.stdout
    file.write_bytes(b"colour\n")
    done = system.tidegate("import", str(file))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "Error: Unknown columns: `colour`. The known columns are `slug`, `name`, `description`, `category`, "
        "`status`, `sku`, `title`, `price_minor`, `currency`, `compare_at_minor`, `weight_grams`, `barcode`, "
        "`attributes`, `active`, `on_hand`, `price`, `sale_price`, `compare_at`, `weight`, `category_path`, "
        "`published`, `price_list`, `min_quantity`. For another system's file, give its preset "
        "or map its columns. (bad_header)",
    )
    assert "Error" in system.tidegate("import", str(file), "--url", "http://127.0.0.1:9").stderr
