"""Files of listings for tests, uploaded as users upload them, and followed until they are imported."""

import asyncio
import csv
import io
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any, Final

from runtime.listings.columns import COLUMNS
from tests import pace
from tests.e2e.api import API, Answer, Client

CSV: Final = {"Content-Type": "text/csv"}
JSON_LINES: Final = {"Content-Type": "application/x-ndjson"}
_IN_WITHIN_SECONDS: Final = 90
_LOOK_SECONDS: Final = 0.05
_PIECE_BYTES: Final = 65_536


def sheet(rows: Iterable[Mapping[str, object]], columns: Iterable[str] = COLUMNS) -> bytes:
    """The rows as CSV; a column that a row lacks is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(columns))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def article(number: int, **said: object) -> dict[str, object]:
    """A product with one variant, and the row that describes both."""
    return {
        "slug": f"article-{number}",
        "name": f"Article {number}",
        "status": "active",
        "sku": f"ARTICLE-{number}",
        "price_minor": 100 + number % 900,
        "currency": "GBP",
        "on_hand": number % 50,
        **said,
    }


async def send(
    client: Client, data: bytes | AsyncIterable[bytes], headers: Mapping[str, str] = CSV, **params: str
) -> Answer:
    body = _pieces(data) if isinstance(data, bytes) else data
    return await client.request("POST", f"{API}/imports", data=body, headers=headers, params=params)


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]


async def finished(client: Client, url: str) -> dict[str, Any]:
    """Waits until the import has finished; returns it."""
    async with pace.timeout(_IN_WITHIN_SECONDS):
        while (found := (await client.request("GET", url)).ok())["finished_at"] is None:
            await asyncio.sleep(_LOOK_SECONDS)
    assert isinstance(found, dict)
    return found


async def brought_in(
    client: Client, data: bytes | AsyncIterable[bytes], headers: Mapping[str, str] = CSV, **params: str
) -> dict[str, Any]:
    """Imports a file, which must succeed."""
    accepted = (await send(client, data, headers, **params)).ok(202)
    found = await finished(client, accepted["status_url"])
    assert found["status"] == "succeeded", found
    assert (found["id"], found["progress"]) == (accepted["id"], 1)
    return found


async def errors(client: Client, found: Mapping[str, Any]) -> list[tuple[int, str, str | None]]:
    """Line, code and column of each recorded error."""
    pages = await client.pages(found["errors_url"].removeprefix(API), limit=2)
    return [(error["line"], error["code"], error["column"]) for page in pages for error in page]


def counts(found: Mapping[str, Any]) -> tuple[int, int, int, int]:
    """The counts of rows: all, applied, unchanged and rejected."""
    return found["rows"], found["applied"], found["unchanged"], found["rejected"]


async def details(client: Client, found: Mapping[str, Any]) -> list[str]:
    """The sentence of each recorded error."""
    pages = await client.pages(found["errors_url"].removeprefix(API), limit=20)
    return [error["detail"] for page in pages for error in page]
