"""Reports: sales by day, SKU, category or customer, over the days of a time zone, summed in Postgres. Everything is
read in one read-only snapshot, so a report is consistent. It is summed in slices of time, with rests while the shop is
busy, into a temporary table, and streamed from there, so memory stays flat, here and in Postgres. An interrupted run
leaves nothing behind; the next one starts over.
"""

from __future__ import annotations

import asyncio
import csv
import io
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol

import asyncpg
import msgspec

from domain.jobs import REPORT
from domain.orders import GUEST_PREFIX
from runtime.csvcells import escape_cell
from runtime.timezones import start_of, zone_of
from workers.jobs.kinds import Job, Tools, job

_Rows = Sequence[tuple[Any, ...]]

# The largest number of slices and the shortest slice: enough to show progress and to yield, few enough to cost nothing.
_SLICES_MAX: Final = 400
_SLICE_MIN: Final = timedelta(minutes=15)
_ROWS_AT_ONCE: Final = 2_000

# While batches are running, a report rests three times as long as it works, so it takes a quarter of one core from
# them. A rest is never so long that Postgres would end the snapshot as idle.
_WORK_SECONDS: Final = 0.05
_REST_FACTOR: Final = 3.0
_REST_MAX_SECONDS: Final = 5.0
_BATCHES_AT_WORK: Final = """
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE '%-batch' AND state <> 'idle'
    )
"""


class _By(NamedTuple):
    """How sales are grouped: SQL for a line's key, and for the key's name, if it has one. With `days`, the key is made
    of the days that a slice touches ($4) and when each begins ($5)."""

    columns: tuple[str, ...]
    key: str
    joins: str = ""
    name: str = ""
    days: bool = False


BY: Final = {
    "day": _By(("day",), "($4::text[])[width_bucket(o.placed_at, $5::timestamptz[])]", days=True),
    "sku": _By(
        ("sku", "name"),
        "l.sku",
        name="(SELECT p.name FROM variants v JOIN products p ON p.id = v.product_id WHERE v.sku = s.key)",
    ),
    # The category that the product is in now; the key is empty for products without one, or no longer sold.
    "category": _By(
        ("category_id", "name"),
        "coalesce(p.category_id::text, '')",
        "LEFT JOIN variants v ON v.sku = l.sku LEFT JOIN products p ON p.id = v.product_id",
        "(SELECT c.name FROM categories c WHERE c.id::text = s.key)",
    ),
    # Every guest is a different customer, so all guests are one group.
    "customer": _By(
        ("customer_id",),
        f"CASE WHEN o.customer_id LIKE '{GUEST_PREFIX}%' THEN '{GUEST_PREFIX}' ELSE o.customer_id END",
    ),
}
_SUMS: Final = ("currency", "orders", "pieces", "revenue_minor")


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"first": "from", "end": "to"}):
    """The params of a report: the days from `first` up to but not including `end`, as `time_zone` counts them."""

    kind: str
    by: str
    first: date
    end: date
    format: str
    statuses: tuple[str, ...]
    time_zone: str = "UTC"


@job(REPORT)
async def run(job: Job, tools: Tools) -> dict[str, Any]:
    """Makes the report; its summary counts its rows and bytes."""
    asked = msgspec.convert(job.params, Asked)
    by = BY[asked.by]
    written = _csv if asked.format == "csv" else _json
    rows = 0
    async with _snapshot(tools) as connection:
        days = _days(asked)
        slices = list(pairwise(_bounds(days[0][1], days[-1][1])))
        began = time.monotonic()
        for done, (start, end) in enumerate(slices):
            tools.progress(done, len(slices))
            touched = _touched(days, start, end) if by.days else ()
            await connection.execute(_sum(by), start, end, list(asked.statuses), *touched)
            if (worked := time.monotonic() - began) > _WORK_SECONDS:
                await _make_way(tools, worked)
                began = time.monotonic()
        head, encode, foot = written(asked, (*by.columns, *_SUMS))
        await tools.result.write(head)
        async for found in _summed(connection, by):
            await tools.result.write(encode(found, first=rows == 0))
            rows += len(found)
        await tools.result.write(foot)
    tools.progress(len(slices), len(slices))
    return {"rows": rows, "bytes": tools.result.size_bytes}


def _days(asked: Asked) -> list[tuple[str, datetime]]:
    """The days of the report and the day after, each with the moment at which it begins."""
    zone = zone_of(asked.time_zone)
    days = (asked.first + timedelta(days=number) for number in range((asked.end - asked.first).days + 1))
    return [(day.isoformat(), start_of(day, zone)) for day in days]


def _touched(days: Sequence[tuple[str, datetime]], start: datetime, end: datetime) -> tuple[list[str], list[datetime]]:
    """The days between `start` and `end`, also in part, and when each begins."""
    first = bisect_right(days, start, key=_begin) - 1
    last = bisect_left(days, end, key=_begin)
    return [day for day, _ in days[first:last]], [begin for _, begin in days[first:last]]


def _begin(day: tuple[str, datetime]) -> datetime:
    return day[1]


def _bounds(start: datetime, last: datetime) -> list[datetime]:
    """The times where slices begin, and where the last one ends."""
    slices = max(1, min(_SLICES_MAX, (last - start) // _SLICE_MIN))
    return [start + (last - start) * number // slices for number in range(slices + 1)]


async def _make_way(tools: Tools, worked_seconds: float) -> None:
    """Rests after this much work, if any batch is running."""
    if await tools.pool.fetchval(_BATCHES_AT_WORK):
        await asyncio.sleep(min(_REST_FACTOR * worked_seconds, _REST_MAX_SECONDS))


@asynccontextmanager
async def _snapshot(tools: Tools) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[Any]]:
    """A connection with one snapshot of the shop, and a table for the sums that vanishes afterwards."""
    async with tools.pool.acquire() as connection:
        # Before the transaction, which is read-only. Also removes what an interrupted report left here.
        await connection.execute(
            "DROP TABLE IF EXISTS pg_temp.sums; CREATE TEMPORARY TABLE sums"
            " (key text, currency text, orders bigint, pieces bigint, revenue_minor numeric)"
        )
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection
        await connection.execute("DROP TABLE pg_temp.sums")


def _sum(by: _By) -> str:
    """Adds the sums of one slice. Each order lies in one slice as a whole, so orders can be counted per slice."""
    return f"""
        INSERT INTO pg_temp.sums
        SELECT {by.key}, o.currency, count(DISTINCT o.id), sum(l.quantity),
            sum(l.quantity::numeric * l.unit_price_minor)
        FROM orders o JOIN order_lines l ON l.order_id = o.id {by.joins}
        WHERE o.placed_at >= $1 AND o.placed_at < $2 AND o.status = ANY($3::text[])
        GROUP BY 1, 2
    """  # noqa: S608 - only our own SQL goes in


async def _summed(connection: asyncpg.pool.PoolConnectionProxy[Any], by: _By) -> AsyncIterator[_Rows]:
    """The rows of the report, ordered by key, a chunk at a time."""
    cursor = await connection.cursor(
        f"""
        SELECT s.key{f", coalesce({by.name}, '')" if by.name else ""}, s.currency, s.orders, s.pieces, s.revenue_minor
        FROM (
            SELECT key, currency, sum(orders)::bigint AS orders, sum(pieces)::bigint AS pieces,
                sum(revenue_minor) AS revenue_minor
            FROM pg_temp.sums GROUP BY key, currency
        ) AS s ORDER BY s.key COLLATE "C", s.currency COLLATE "C"
        """  # noqa: S608 - only our own SQL goes in
    )
    while rows := await cursor.fetch(_ROWS_AT_ONCE):
        yield [(*row[:-1], int(row[-1])) for row in map(tuple, rows)]


class _Encode(Protocol):
    def __call__(self, rows: _Rows, *, first: bool) -> bytes: ...


_Form = tuple[bytes, _Encode, bytes]


def _csv(asked: Asked, columns: Sequence[str]) -> _Form:
    """RFC 4180, UTF-8, with a header line."""

    def encode(rows: _Rows, *, first: bool) -> bytes:
        text = io.StringIO()
        csv.writer(text).writerows(
            [escape_cell(value) if isinstance(value, str) else value for value in row] for row in rows
        )
        return text.getvalue().encode()

    return encode([tuple(columns)], first=True), encode, b""


def _json(asked: Asked, columns: Sequence[str]) -> _Form:
    """One document: the request, and the rows."""

    def encode(rows: _Rows, *, first: bool) -> bytes:
        documents = b",\n".join(msgspec.json.encode(dict(zip(columns, row, strict=True))) for row in rows)
        return documents if first else b",\n" + documents

    return msgspec.json.encode(asked)[:-1] + b',"rows":[\n', encode, b"\n]}\n"
