"""Real baskets and their catalogue, read from an invoice-line file in the format of UCI's *Online Retail*.

Every row is either in a basket or counted under exactly one reason for being skipped, and the result is within the
shop's limits. Rows are streamed; only the baskets and a tally for each code are kept. Placing the orders, and at what
pace, is up to the caller.

The rules for a row, in this order:
- `InvoiceNo` starts with `C`: a cancellation of goods sold, which the file does not link to its sale. Skipped.
- `StockCode` is not a product code (five digits and up to two letters, or `DCGS...`): postage, fees, vouchers. Skipped.
- a quantity or price of 0 or less: write-offs, samples, corrections. Skipped.
- a quantity, price, date or customer that cannot be read, or is beyond the shop's limits. Skipped.
- a row equal in every field to an earlier one of its invoice: keyed in twice. Skipped.
- otherwise it is a line. Lines of one invoice whose codes are the same SKU (ignoring case) are summed.

A product's price and name are those of most of its lines; ties go to the one seen first. Prices are in pounds, and in
pence in the catalogue. `CustomerID` 17850.0 is customer `c17850`; an invoice without one belongs to its own guest,
`guest-536365`. Times are taken as UTC, which is British time in winter.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import msgspec

from domain.fields.catalogue import canonical_sku
from domain.limits import LINE_MAX_QUANTITY, ORDER_MAX_LINES, PRICE_MAX_MINOR
from domain.model import Wanted
from ops.articles import Article

SHIPPED_FILE: Final = Path(__file__).parent / "data" / "online_retail_2010-12_2011-02.csv.gz"
CURRENCY: Final = "GBP"
COLUMNS: Final = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)

CANCELLATION: Final = "cancellation"
NOT_A_PRODUCT: Final = "not a product code"
NO_QUANTITY: Final = "quantity of 0 or less"
NO_PRICE: Final = "price of 0 or less"
UNREADABLE: Final = "unreadable value"
BEYOND_LIMITS: Final = "beyond the shop's limits"
DUPLICATE: Final = "exact duplicate"
REASONS: Final = (CANCELLATION, NOT_A_PRODUCT, NO_QUANTITY, NO_PRICE, UNREADABLE, BEYOND_LIMITS, DUPLICATE)

EXAMPLES_PER_REASON: Final = 3

_PRODUCT_CODE = re.compile(r"^(\d{5}[A-Z]{0,2}|DCGS[A-Z0-9]+)$")
_CUSTOMER = re.compile(r"^(\d{1,12})(\.0+)?$")
_INVOICE = re.compile(r"^[A-Za-z0-9-]{1,40}$")


class InvoiceFileError(ValueError):
    """The file is not CSV (plain or gzipped, UTF-8) with the expected columns."""


class Basket(msgspec.Struct, frozen=True):
    """One invoice as an order: each SKU once, in the order of its first line. `placed_at` is its first row's time."""

    invoice_no: str
    customer_id: str
    placed_at: datetime
    lines: tuple[Wanted, ...]


class Skipped(msgspec.Struct):
    """How many rows were skipped for a reason, and the first few of them as they are in the file."""

    count: int = 0
    examples: list[str] = msgspec.field(default_factory=list)


class Invoices(msgspec.Struct, frozen=True):
    """The contents of a file. `rows` and `invoices` count those in the file, `sold_rows` the rows that are in
    baskets."""

    baskets: tuple[Basket, ...]
    products: tuple[Article, ...]
    skipped: dict[str, Skipped]
    rows: int
    invoices: int
    sold_rows: int


class Sale(msgspec.Struct, frozen=True):
    """A row that is a line of an order; `price_minor` is the price per piece in pence."""

    invoice_no: str
    customer_id: str
    placed_at: datetime
    sku: str
    name: str
    quantity: int
    price_minor: int


class _UnfitRowError(Exception):
    """The row is not a line of an order; `reason` is one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@cache
def shipped() -> Invoices:
    """The file that comes with Tidegate, read once."""
    return read(SHIPPED_FILE)


def read(path: Path) -> Invoices:
    """Reads a whole file; gzip is recognised by its content. Raises InvoiceFileError or OSError."""
    skipped = {reason: Skipped() for reason in REASONS}
    invoices: set[str] = set()
    sold: dict[str, dict[str, int]] = {}
    first_sales: dict[str, Sale] = {}
    seen: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    names: dict[str, Counter[str]] = defaultdict(Counter)
    prices: dict[str, Counter[int]] = defaultdict(Counter)
    rows = sold_rows = 0
    for row in _rows(path):
        rows += 1
        invoices.add(row[0])
        try:
            sale = _sale(row)
            if row in seen[sale.invoice_no]:
                raise _UnfitRowError(DUPLICATE)
            lines = sold.setdefault(sale.invoice_no, {})
            _add(lines, sale)
        except _UnfitRowError as unfit:
            _note(skipped[unfit.reason], row)
            continue
        sold_rows += 1
        seen[sale.invoice_no].add(row)
        first_sales.setdefault(sale.invoice_no, sale)
        prices[sale.sku][sale.price_minor] += 1
        if sale.name:
            names[sale.sku][sale.name] += 1
    return Invoices(
        baskets=tuple(_basket(first, sold[invoice_no]) for invoice_no, first in first_sales.items()),
        products=tuple(_product(sku, names[sku], prices[sku]) for sku in sorted(prices)),
        skipped=skipped,
        rows=rows,
        invoices=len(invoices),
        sold_rows=sold_rows,
    )


def demand(baskets: Iterable[Basket]) -> dict[str, int]:
    """The total number of pieces of each SKU in the baskets."""
    wanted: Counter[str] = Counter()
    for basket in baskets:
        for line in basket.lines:
            wanted[line.sku] += line.quantity
    return dict(wanted)


@contextmanager
def _opened(path: Path) -> Iterator[Iterator[str]]:
    with path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        binary = gzip.GzipFile(fileobj=file) if gzipped else file
        yield io.TextIOWrapper(binary, encoding="utf-8", newline="")


def _rows(path: Path) -> Iterator[tuple[str, ...]]:
    with _opened(path) as lines:
        reader = csv.reader(lines)
        try:
            header = next(reader, None)
            if header is None or tuple(header) != COLUMNS:
                raise InvoiceFileError(f"{path.name}: the first line must name the columns {', '.join(COLUMNS)}")
            for fields in reader:
                if len(fields) != len(COLUMNS):
                    raise InvoiceFileError(f"{path.name}: line {reader.line_num} does not have {len(COLUMNS)} fields")
                yield tuple(fields)
        except (csv.Error, UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
            raise InvoiceFileError(f"{path.name}: after line {reader.line_num}: {error}") from error


def _sale(row: tuple[str, ...]) -> Sale:
    invoice_no, code, description, quantity_text, date_text, price_text, customer_text, _country = row
    if invoice_no.startswith("C"):
        raise _UnfitRowError(CANCELLATION)
    sku = _product_sku(code)
    quantity, price_minor = _whole_number(quantity_text), _pence(price_text)
    if quantity <= 0:
        raise _UnfitRowError(NO_QUANTITY)
    if price_minor <= 0:
        raise _UnfitRowError(NO_PRICE)
    if price_minor > PRICE_MAX_MINOR:
        raise _UnfitRowError(BEYOND_LIMITS)
    if not _INVOICE.match(invoice_no):
        raise _UnfitRowError(UNREADABLE)
    return Sale(
        invoice_no=invoice_no,
        customer_id=_customer(customer_text) or f"guest-{invoice_no}",
        placed_at=_time(date_text),
        sku=sku,
        name=" ".join(description.split()),
        quantity=quantity,
        price_minor=price_minor,
    )


def _add(lines: dict[str, int], sale: Sale) -> None:
    quantity = lines.get(sale.sku, 0) + sale.quantity
    if quantity > LINE_MAX_QUANTITY or (sale.sku not in lines and len(lines) == ORDER_MAX_LINES):
        raise _UnfitRowError(BEYOND_LIMITS)
    lines[sale.sku] = quantity


def _note(skipped: Skipped, row: tuple[str, ...]) -> None:
    skipped.count += 1
    if len(skipped.examples) < EXAMPLES_PER_REASON:
        skipped.examples.append(",".join(row))


def _basket(first: Sale, lines: dict[str, int]) -> Basket:
    return Basket(
        invoice_no=first.invoice_no,
        customer_id=first.customer_id,
        placed_at=first.placed_at,
        lines=tuple(Wanted(sku, quantity) for sku, quantity in lines.items()),
    )


def _product(sku: str, names: Counter[str], prices: Counter[int]) -> Article:
    name = names.most_common(1)[0][0] if names else sku
    return Article(sku=sku, name=name, price_minor=prices.most_common(1)[0][0], currency=CURRENCY)


# A file repeats its codes, dates and prices thousands of times; parsing each only once makes most of the speed.
_SPELLINGS_KEPT: Final = 65_536


@lru_cache(maxsize=_SPELLINGS_KEPT)
def _product_sku(code: str) -> str:
    sku = canonical_sku(code)
    if sku is None or not _PRODUCT_CODE.match(sku):
        raise _UnfitRowError(NOT_A_PRODUCT)
    return sku


@lru_cache(maxsize=_SPELLINGS_KEPT)
def _pence(text: str) -> int:
    try:
        return int((Decimal(text) * 100).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        raise _UnfitRowError(UNREADABLE) from None


@lru_cache(maxsize=_SPELLINGS_KEPT)
def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _UnfitRowError(UNREADABLE) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _UnfitRowError(UNREADABLE) from None


def _customer(text: str) -> str | None:
    if not text:
        return None
    match = _CUSTOMER.match(text)
    if match is None:
        raise _UnfitRowError(UNREADABLE)
    return f"c{match[1]}"
