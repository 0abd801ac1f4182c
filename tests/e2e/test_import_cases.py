"""Files made after those of real shops come in as they are; what cannot is refused by name."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.cases import case
from tests.e2e.api import Client
from tests.e2e.importing import brought_in, details, errors
from tests.system import System


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """A system to bring files into; afterwards every table agrees with the log, and nobody was surprised."""
    with System() as running:
        yield running
        code, found = running.verify()
        assert code == 0, found
        assert not running.tracebacks()


@pytest_asyncio.fixture(scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def admin(system: System, http: aiohttp.ClientSession) -> Client:
    return Client(http, system.url, system.token("admin"))


@pytest.mark.parametrize(
    ("name", "slug", "shown"),
    [
        ("01-blank-line-then-mark.csv", "case-copper-jug", "Medná kanvica \u2013 1 l"),
        ("01-mark-twice.csv", "case-copper-mug", "Medný hrnček"),
    ],
)
async def test_what_stands_before_the_header_is_passed_over(admin: Client, name: str, slug: str, shown: str) -> None:
    rehearsed = await brought_in(admin, case(name), dry_run="true")
    assert (rehearsed["rows"], rehearsed["applied"], rehearsed["encoding"]) == (1, 1, "utf-8")
    assert (await brought_in(admin, case(name)))["applied"] == 1
    assert (await admin.get(f"/products/{slug}")).ok()["name"] == shown


async def test_barcodes_that_a_spreadsheet_damaged_are_refused_by_name(admin: Client) -> None:
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


@pytest.mark.parametrize("encoding", ["windows-1250", "utf-16", "utf-16le", "utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [";", "\t"])
@pytest.mark.parametrize("line_end", ["\r\n", "\r"])
async def test_a_file_comes_in_as_spreadsheets_write_it(
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
