"""Reports: over 3 months of a real shop's orders, placed at their own times through real batches, against totals
computed here from the file itself, without our code; and over a few orders that cover a report's special cases.
"""

from __future__ import annotations

import asyncio
import csv
import gzip
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple

import pytest
from msgspec import structs

from domain.catalogue import PutListing
from domain.categories import CategoryFields, CreateCategory
from domain.model import Actor, Command
from domain.orders import CancelOrder, ConfirmOrder, FulfilOrder, PlaceOrder
from loadtests import baskets
from ops.articles import Article, listing
from runtime.csvcells import unescape_cell
from runtime.database import Connection
from runtime.mailboxes.inbox import Entry
from tests.integration.background import Background, background, until
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.batch import apply
from workers.earlier import Earlier
from workers.messages import Message

Moves = ConfirmOrder | FulfilOrder | CancelOrder

_OPENED: Final = datetime(2010, 11, 1, tzinfo=UTC)


class Sold(NamedTuple):
    """One SKU of one invoice, straight from the file."""

    invoice: str
    day: str
    customer: str
    sku: str
    quantity: int


class Expected(NamedTuple):
    sold: list[Sold]
    price_of: dict[str, int]

    def totals(self, by: str, first: str, end: str) -> dict[str, tuple[int, int, int]]:
        """Orders, pieces and revenue in pence by `by`, a field of Sold, over the days from `first` to before `end`."""
        invoices: defaultdict[str, set[str]] = defaultdict(set)
        pieces: Counter[str] = Counter()
        revenue: Counter[str] = Counter()
        for sold in self.sold:
            if first <= sold.day < end:
                key = getattr(sold, by)
                invoices[key].add(sold.invoice)
                pieces[key] += sold.quantity
                revenue[key] += sold.quantity * self.price_of[sold.sku]
        return {key: (len(invoices[key]), pieces[key], revenue[key]) for key in invoices}


def _rows() -> Iterator[list[str]]:
    with gzip.open(baskets.SHIPPED_FILE, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        yield from rows


@pytest.fixture(scope="module")
def expected() -> Expected:
    """What was sold, by the rules of `loadtests/baskets.py`, implemented independently."""
    quantities: dict[tuple[str, str], int] = {}
    firsts: dict[str, tuple[str, str]] = {}
    prices: defaultdict[str, Counter[int]] = defaultdict(Counter)
    seen = set()
    for row in _rows():
        invoice, code, _, quantity_text, when, price_text, customer, _ = row
        sku, quantity, pence = code.upper(), int(quantity_text), round(float(price_text) * 100)
        if invoice.startswith("C") or not re.fullmatch(r"\d{5}[A-Z]{0,2}|DCGS[A-Z0-9]+", sku):
            continue
        if quantity <= 0 or pence <= 0 or tuple(row) in seen:
            continue
        seen.add(tuple(row))
        firsts.setdefault(invoice, (when[:10], f"c{float(customer):.0f}" if customer else f"guest-{invoice}"))
        quantities[invoice, sku] = quantities.get((invoice, sku), 0) + quantity
        prices[sku][pence] += 1
    sold = [Sold(invoice, *firsts[invoice], sku, quantity) for (invoice, sku), quantity in quantities.items()]
    return Expected(sold, {sku: counted.most_common(1)[0][0] for sku, counted in prices.items()})


async def _apply(floor: Shopfloor, commands: list[Command], at: datetime) -> None:
    async with floor.pool.acquire() as connection, connection.transaction():
        await _apply_in(connection, floor, commands, at)


# A batch moves its mailboxes' positions; the workers alongside must not notice these entries.
_NOT_DRAINED: Final = 99


async def _apply_in(connection: Connection, floor: Shopfloor, commands: list[Command], at: datetime) -> None:
    messages = [
        Message(_NOT_DRAINED, Entry(f"{n}-0", {}), floor.envelope(command, actor=STAFF), command)
        for n, command in enumerate(commands)
    ]
    result = await apply(connection, messages, Earlier(), alone=True, at=at)
    assert {row.status for row in result.applied} == {"applied"}


@pytest.fixture
async def shop(floor: Shopfloor) -> AsyncIterator[Background]:
    async with background(floor) as jobs:
        yield jobs


async def _sell_everything(floor: Shopfloor) -> None:
    """Places every basket as an order at its own hour, and confirms it."""
    # Reading takes seconds, during which the workers alongside must continue.
    invoices = await asyncio.to_thread(baskets.shipped)
    wanted = baskets.demand(invoices.baskets)
    await _apply(floor, [listing(article, wanted[article.sku]) for article in invoices.products], _OPENED)
    for _, hour in groupby(invoices.baskets, lambda basket: basket.placed_at.strftime("%F %H")):
        commands: list[Command] = []
        for basket in hour:
            place = PlaceOrder(floor.new_id(), basket.customer_id, basket.lines)
            commands += place, ConfirmOrder(place.order_id)
        await _apply(floor, commands, basket.placed_at)


def _params(by: str, first: str, end: str, form: str = "csv", *statuses: str) -> dict[str, Any]:
    return {
        "kind": "sales",
        "by": by,
        "from": first,
        "to": end,
        "format": form,
        "statuses": list(statuses or ("confirmed", "fulfilled")),
    }


async def _report(jobs: Background, params: dict[str, Any]) -> bytes:
    job_id = await jobs.request("report", params)
    await jobs.run_due()
    row = await jobs.row(job_id)
    assert row is not None
    assert row["status"] == "succeeded", row["summary"]
    data = await jobs.result(job_id)
    assert json.loads(row["summary"])["bytes"] == len(data)
    return data


def _csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def _totals(data: bytes, key: str) -> dict[str, tuple[int, int, int]]:
    rows = _csv(data)
    assert {row["currency"] for row in rows} <= {"GBP"}
    assert [row[key] for row in rows] == sorted({row[key] for row in rows})
    return {row[key]: (int(row["orders"]), int(row["pieces"]), int(row["revenue_minor"])) for row in rows}


@pytest.mark.campaign
@pytest.mark.timeout(300)
async def test_three_real_months_give_the_totals_of_the_file(shop: Background, expected: Expected) -> None:
    await _sell_everything(shop.floor)
    for first, end in (("2010-12-01", "2011-03-01"), ("2011-01-05", "2011-01-06"), ("2009-01-01", "2018-12-31")):
        for by, key in (("day", "day"), ("sku", "sku"), ("customer", "customer_id")):
            report = await _report(shop, _params(by, first, end))
            assert _totals(report, key) == expected.totals(by, first, end), (by, first, end)
    await shop.floor.verified()


# A few orders, placed by hand.


async def _put(floor: Shopfloor, *listings: PutListing | CreateCategory) -> None:
    await _apply(floor, list(listings), _OPENED)


async def _order(floor: Shopfloor, at: str, customer: str = "ann", *then: type[Moves], **lines: int) -> None:
    place = floor.place(0, None, Actor.in_role(customer, "customer"), **lines)
    await _apply(floor, [place, *(move(place.order_id) for move in then)], datetime.fromisoformat(at))


def _article(sku: str, price_minor: int, currency: str = "GBP", name: str = "") -> PutListing:
    return listing(Article(sku, name or sku.title(), price_minor, currency), 1_000)


async def test_days_are_utc_days_of_placing_and_the_last_is_excluded(shop: Background) -> None:
    await _put(shop.floor, _article("MUG", 250))
    for at in ("2011-01-01T00:00:00+00:00", "2011-01-01T23:59:59.999999+00:00", "2011-01-02T00:00:00+00:00"):
        await _order(shop.floor, at, "ann", ConfirmOrder, MUG=1)
    await _order(shop.floor, "2011-01-01T22:30:00-05:00", "ann", ConfirmOrder, MUG=5)  # the 2nd, in UTC
    assert _totals(await _report(shop, _params("day", "2011-01-01", "2011-01-02")), "day") == {
        "2011-01-01": (2, 2, 500)
    }
    assert _totals(await _report(shop, _params("day", "2010-12-31", "2011-01-03")), "day") == {
        "2011-01-01": (2, 2, 500),
        "2011-01-02": (2, 6, 1500),
    }


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("Pacific/Auckland", "2026-11-29", "2026-11-28T11:00:00+00:00", 24),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00:00+00:00", 23),
        ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00:00+00:00", 25),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00+00:00", 23),  # the clocks skip midnight
        ("Asia/Kathmandu", "2026-06-01", "2026-05-31T18:15:00+00:00", 24),
        ("UTC", "2026-06-01", "2026-06-01T00:00:00+00:00", 24),
    ],
)
async def test_a_day_is_a_day_of_the_time_zone(shop: Background, zone: str, day: str, begins: str, hours: int) -> None:
    await _put(shop.floor, _article("MUG", 250))
    first = datetime.fromisoformat(begins)
    end = first + timedelta(hours=hours)
    tick = timedelta(microseconds=1)
    for pieces, at in ((1, first - tick), (5, first), (50, end - tick), (500, end)):
        await _order(shop.floor, at.isoformat(), "ann", ConfirmOrder, MUG=pieces)
    before, after = (str(date.fromisoformat(day) + timedelta(days=days)) for days in (-1, 1))
    last = str(date.fromisoformat(day) + timedelta(days=2))
    params = {**_params("day", before, last), "time_zone": zone}
    pieces_of = {key: pieces for key, (_, pieces, _) in _totals(await _report(shop, params), "day").items()}
    assert pieces_of == {before: 1, day: 55, after: 500}
    alone = {**_params("sku", day, after), "time_zone": zone}
    assert _totals(await _report(shop, alone), "sku")["MUG"][:2] == (2, 55)


async def test_a_day_that_a_zone_skipped_has_no_orders(shop: Background) -> None:
    await _put(shop.floor, _article("MUG", 250))
    await _order(shop.floor, "2011-12-30T09:59:59+00:00", "ann", ConfirmOrder, MUG=1)
    await _order(shop.floor, "2011-12-30T10:00:00+00:00", "ann", ConfirmOrder, MUG=2)
    params = {**_params("day", "2011-12-29", "2012-01-01"), "time_zone": "Pacific/Apia"}
    totals = _totals(await _report(shop, params), "day")
    assert {day: pieces for day, (_, pieces, _) in totals.items()} == {"2011-12-29": 1, "2011-12-31": 2}
    assert await _report(shop, {**params, "from": "2011-12-30", "to": "2011-12-31", "format": "csv"})


async def test_currencies_are_never_mixed(shop: Background) -> None:
    await _put(shop.floor, _article("MUG", 250), _article("TASSE", 300, "EUR"))
    await _order(shop.floor, "2011-01-01T10:00+00:00", "ann", ConfirmOrder, MUG=1)
    await _order(shop.floor, "2011-01-01T11:00+00:00", "ann", ConfirmOrder, TASSE=2)
    rows = _csv(await _report(shop, _params("day", "2011-01-01", "2011-01-02")))
    assert [(row["currency"], row["orders"], row["revenue_minor"]) for row in rows] == [
        ("EUR", "1", "600"),
        ("GBP", "1", "250"),
    ]


async def test_only_orders_of_the_statuses_count(shop: Background) -> None:
    await _put(shop.floor, _article("MUG", 100))
    day = "2011-01-01T10:00+00:00"
    await _order(shop.floor, day, MUG=1)
    await _order(shop.floor, day, "ann", ConfirmOrder, MUG=2)
    await _order(shop.floor, day, "ann", ConfirmOrder, FulfilOrder, MUG=4)
    await _order(shop.floor, day, "ann", CancelOrder, MUG=8)
    for statuses, pieces in (((), 6), (("placed",), 1), (("cancelled", "placed"), 9), (("expired",), None)):
        report = await _report(shop, _params("sku", "2011-01-01", "2011-01-02", "csv", *statuses))
        assert [int(row["pieces"]) for row in _csv(report)] == ([] if pieces is None else [pieces])


async def test_guests_are_counted_together(shop: Background) -> None:
    await _put(shop.floor, _article("MUG", 100))
    for customer in ("ann", "guest:1", "guest:2", "ann"):
        await _order(shop.floor, "2011-01-01T10:00+00:00", customer, ConfirmOrder, MUG=1)
    report = await _report(shop, _params("customer", "2011-01-01", "2011-01-02"))
    assert _totals(report, "customer_id") == {"ann": (2, 2, 200), "guest:": (2, 2, 200)}


async def test_categories_count_an_order_once_and_uncategorised_products_are_separate(shop: Background) -> None:
    kitchen = shop.floor.new_id()
    in_kitchen = [_article(sku, 100) for sku in ("MUG", "CUP")]
    await _put(
        shop.floor,
        CreateCategory(kitchen, CategoryFields("kitchen", "Kitchen")),
        *(
            structs.replace(put, product=structs.replace(put.product, category_id=kitchen))
            for put in in_kitchen
            if put.product is not None
        ),
        _article("BAG", 1_000),
    )
    await _order(shop.floor, "2011-01-01T10:00+00:00", "ann", ConfirmOrder, MUG=1, CUP=2, BAG=1)
    await _order(shop.floor, "2011-01-02T10:00+00:00", "ann", ConfirmOrder, CUP=1)
    rows = _csv(await _report(shop, _params("category", "2011-01-01", "2011-02-01")))
    assert [tuple(row.values()) for row in rows] == [
        ("", "", "GBP", "1", "1", "1000"),
        (str(kitchen), "Kitchen", "GBP", "2", "4", "400"),
    ]


async def test_json_has_the_parameters_and_the_same_sums(shop: Background) -> None:
    await _put(shop.floor, _article("MUG", 250), _article("CUP", 10**10))
    await _order(shop.floor, "2011-01-01T10:00+00:00", "ann", ConfirmOrder, MUG=2, CUP=900)
    params = _params("sku", "2011-01-01", "2011-01-02", "json")
    document = json.loads(await _report(shop, params))
    assert {key: document[key] for key in params} == params
    assert document["rows"] == [
        {"sku": "CUP", "name": "Cup", "currency": "GBP", "orders": 1, "pieces": 900, "revenue_minor": 9 * 10**12},
        {"sku": "MUG", "name": "Mug", "currency": "GBP", "orders": 1, "pieces": 2, "revenue_minor": 500},
    ]
    assert json.loads(await _report(shop, {**params, "to": "2011-01-03", "from": "2011-01-02"}))["rows"] == []


async def test_names_cannot_be_formulas_in_a_spreadsheet(shop: Background) -> None:
    name = '=HYPERLINK("http://evil.example","a, b")'
    await _put(shop.floor, _article("MUG", 250, name=name))
    await _order(shop.floor, "2011-01-01T10:00+00:00", "ann", ConfirmOrder, MUG=1)
    data = await _report(shop, _params("sku", "2011-01-01", "2011-01-02"))
    (row,) = _csv(data)
    assert row["name"] == f"'{name}"
    assert unescape_cell(row["name"]) == name
    assert data.endswith(b"\r\n")


async def test_it_shows_the_shop_at_one_moment_however_long_it_reads(shop: Background) -> None:
    floor = shop.floor
    await _put(floor, _article("MUG", 250))
    await _order(floor, "2011-01-01T10:00+00:00", "ann", ConfirmOrder, MUG=1)
    job_id = await shop.request("report", _params("day", "2011-01-01", "2011-01-03"))
    place = floor.place(MUG=1)

    async def report_waits() -> bool:
        return bool(
            await shop.pool.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%pg_temp.sums%'"
            )
        )

    async with floor.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE order_lines IN ACCESS EXCLUSIVE MODE")
            running = asyncio.create_task(shop.run_due())
            await until(report_waits)
            at = datetime(2011, 1, 2, 23, 59, tzinfo=UTC)
            await _apply_in(connection, floor, [place, ConfirmOrder(place.order_id)], at)
        await running
    assert _totals(await shop.result(job_id), "day") == {"2011-01-01": (1, 1, 250)}
