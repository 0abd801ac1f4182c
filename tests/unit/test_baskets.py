"""The order data: every rule of `loadtests.baskets` on small files, and the shipped file against a second count."""

import csv
import gzip
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain.fields.catalogue import canonical_sku
from domain.limits import ORDER_MAX_LINES
from domain.model import Wanted
from loadtests import baskets
from loadtests.baskets import Basket, InvoiceFileError, Invoices

HEADER = ",".join(baskets.COLUMNS)
GOOD = "536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom"


def line(**changes: str) -> str:
    fields = dict(zip(baskets.COLUMNS, GOOD.split(","), strict=True)) | changes
    return ",".join(fields.values())


def read(folder: Path, *lines: str) -> Invoices:
    path = folder / "invoices.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return baskets.read(path)


def skipped(invoices: Invoices) -> dict[str, int]:
    return {reason: tally.count for reason, tally in invoices.skipped.items() if tally.count}


def test_a_row_becomes_a_basket_and_a_product(tmp_path: Path) -> None:
    invoices = read(tmp_path, GOOD)
    assert invoices.baskets == (
        Basket("536365", "c17850", datetime(2010, 12, 1, 8, 26, tzinfo=UTC), (Wanted("85123A", 6),)),
    )
    (product,) = invoices.products
    assert (product.sku, product.name, product.price_minor, product.currency) == (
        "85123A",
        "WHITE HANGING HEART",
        255,
        "GBP",
    )
    assert skipped(invoices) == {}


def test_rows_of_one_sku_are_summed_whatever_the_case_and_between_other_rows(tmp_path: Path) -> None:
    other = line(InvoiceNo="536366", StockCode="22752", Quantity="1")
    invoices = read(tmp_path, GOOD, other, line(StockCode="85123a", Quantity="4"), line(StockCode="71053"))
    assert [basket.lines for basket in invoices.baskets] == [
        (Wanted("85123A", 10), Wanted("71053", 6)),
        (Wanted("22752", 1),),
    ]


def test_an_invoice_without_a_customer_is_its_own_guest(tmp_path: Path) -> None:
    invoices = read(tmp_path, line(CustomerID=""), line(InvoiceNo="536366", CustomerID="12346"))
    assert [basket.customer_id for basket in invoices.baskets] == ["guest-536365", "c12346"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"InvoiceNo": "C536365", "Quantity": "-6"}, baskets.CANCELLATION),
        ({"StockCode": "POST"}, baskets.NOT_A_PRODUCT),
        ({"StockCode": "M"}, baskets.NOT_A_PRODUCT),
        ({"StockCode": "BANK CHARGES"}, baskets.NOT_A_PRODUCT),
        ({"StockCode": "gift_0001_40"}, baskets.NOT_A_PRODUCT),
        ({"Quantity": "0"}, baskets.NO_QUANTITY),
        ({"Quantity": "-3", "UnitPrice": "0.0"}, baskets.NO_QUANTITY),
        ({"UnitPrice": "0.0"}, baskets.NO_PRICE),
        ({"UnitPrice": "0.001"}, baskets.NO_PRICE),
        ({"UnitPrice": "-11062.06"}, baskets.NO_PRICE),
        ({"Quantity": "six"}, baskets.UNREADABLE),
        ({"Quantity": "1.5"}, baskets.UNREADABLE),
        ({"UnitPrice": "free"}, baskets.UNREADABLE),
        ({"UnitPrice": "NaN"}, baskets.UNREADABLE),
        ({"UnitPrice": "Infinity"}, baskets.UNREADABLE),
        ({"InvoiceDate": "01/12/10"}, baskets.UNREADABLE),
        ({"CustomerID": "17850.5"}, baskets.UNREADABLE),
        ({"InvoiceNo": "../../etc"}, baskets.UNREADABLE),
        ({"Quantity": "100001"}, baskets.BEYOND_LIMITS),
        ({"UnitPrice": "100000000.01"}, baskets.BEYOND_LIMITS),
    ],
)
def test_a_row_that_is_not_a_line_of_an_order_is_counted_under_one_reason(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    row = line(**changes)
    invoices = read(tmp_path, row)
    assert invoices.baskets == ()
    assert invoices.products == ()
    assert skipped(invoices) == {reason: 1}
    assert invoices.skipped[reason].examples == [row]


def test_codes_of_the_shop_s_own_brand_are_products(tmp_path: Path) -> None:
    assert skipped(read(tmp_path, line(StockCode="DCGS0076"), line(StockCode="DCGSSBOY"))) == {}


def test_a_row_keyed_in_twice_counts_once(tmp_path: Path) -> None:
    invoices = read(tmp_path, GOOD, line(InvoiceNo="536366"), GOOD, line(Quantity="1"))
    assert skipped(invoices) == {baskets.DUPLICATE: 1}
    assert invoices.baskets[0].lines == (Wanted("85123A", 7),)


def test_a_sum_beyond_the_line_s_limit_keeps_what_fits(tmp_path: Path) -> None:
    invoices = read(tmp_path, line(Quantity="99999"), line(Quantity="2"), line(Quantity="1"))
    assert invoices.baskets[0].lines == (Wanted("85123A", 100_000),)
    assert skipped(invoices) == {baskets.BEYOND_LIMITS: 1}


def test_an_order_has_no_more_lines_than_it_may(tmp_path: Path) -> None:
    invoices = read(tmp_path, *(line(StockCode=str(code)) for code in range(10_000, 10_001 + ORDER_MAX_LINES)))
    assert len(invoices.baskets[0].lines) == ORDER_MAX_LINES
    assert skipped(invoices) == {baskets.BEYOND_LIMITS: 1}


def test_the_longest_invoice_of_all_the_real_data_is_an_order_with_room_to_spare(tmp_path: Path) -> None:
    """Invoice 573585, which is not in the shipped months, has 1,114 lines."""
    invoices = read(tmp_path, *(line(StockCode=str(code)) for code in range(10_000, 11_114)))
    assert len(invoices.baskets[0].lines) == 1_114
    assert skipped(invoices) == {}
    assert ORDER_MAX_LINES > 2 * 1_114


def test_price_and_name_are_the_most_frequent_and_the_first_wins_a_tie(tmp_path: Path) -> None:
    rows = [
        ("1", "2.55", ""),
        ("2", "2.95", "HEART"),
        ("3", "2.95", "HEART  HOLDER"),
        ("4", "2.55", "HEART HOLDER"),
        ("5", "9.99", ""),
    ]
    invoices = read(tmp_path, *(line(Quantity=q, UnitPrice=p, Description=d) for q, p, d in rows))
    assert [(product.name, product.price_minor) for product in invoices.products] == [("HEART HOLDER", 255)]


def test_a_product_without_a_description_is_named_by_its_sku(tmp_path: Path) -> None:
    assert [product.name for product in read(tmp_path, line(Description="")).products] == ["85123A"]


def test_quoted_commas_and_plain_or_gzipped_files_are_read(tmp_path: Path) -> None:
    row = line(Description='"BOX, SET OF 3"')
    packed = tmp_path / "invoices.csv.gz"
    packed.write_bytes(gzip.compress(f"{HEADER}\n{row}\n".encode()))
    assert baskets.read(packed) == read(tmp_path, row)
    assert baskets.read(packed).products[0].name == "BOX, SET OF 3"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"a,b,c\n1,2,3\n",
        f"{HEADER}\n536365,85123A\n".encode(),
        f"{HEADER}\n".encode() + b"\xff\xfe" * 100,
        gzip.compress(f"{HEADER}\n{GOOD}\n".encode() * 100)[:-20],
    ],
)
def test_a_file_that_is_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "something"
    path.write_bytes(content)
    with pytest.raises(InvoiceFileError, match="something"):
        baskets.read(path)


@pytest.fixture(scope="module")
def shipped() -> Invoices:
    return baskets.shipped()


def test_the_shipped_file_is_whole(shipped: Invoices) -> None:
    """Checks the numbers that its source states, so that a truncated or changed file is noticed."""
    assert shipped.rows == 105_335
    assert shipped.invoices == 4_894


def test_every_row_of_the_shipped_file_is_in_a_basket_or_skipped_once(shipped: Invoices) -> None:
    assert shipped.sold_rows + sum(tally.count for tally in shipped.skipped.values()) == shipped.rows
    assert skipped(shipped) == {
        baskets.CANCELLATION: 1_904,
        baskets.NOT_A_PRODUCT: 465,
        baskets.NO_QUANTITY: 214,
        baskets.NO_PRICE: 325,
        baskets.DUPLICATE: 958,
    }


@pytest.mark.campaign
def test_the_shipped_baskets_agree_with_a_second_count(shipped: Invoices) -> None:
    """Counted in another way: filters the whole table first, then groups what is left."""
    with gzip.open(baskets.SHIPPED_FILE, "rt", encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    goods = [
        row
        for row in {tuple(row.items()): row for row in table}.values()
        if row["InvoiceNo"].isdigit()
        and re.fullmatch(r"\d{5}[A-Za-z]{0,2}|DCGS.+", row["StockCode"])
        and int(row["Quantity"]) > 0
        and float(row["UnitPrice"]) > 0
    ]
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for row in goods:
        expected[row["InvoiceNo"]][row["StockCode"].upper()] += int(row["Quantity"])
    assert {b.invoice_no: {w.sku: w.quantity for w in b.lines} for b in shipped.baskets} == expected
    assert shipped.sold_rows == len(goods) == 101_469
    assert {product.sku for product in shipped.products} == {row["StockCode"].upper() for row in goods}

    sold_at = Counter(row["UnitPrice"] for row in goods if row["StockCode"].upper() == "85123A")
    heart = next(product for product in shipped.products if product.sku == "85123A")
    assert heart.price_minor == round(float(sold_at.most_common(1)[0][0]) * 100) == 295
    assert heart.name == "WHITE HANGING HEART T-LIGHT HOLDER"


def test_the_shipped_baskets_are_what_the_shop_accepts(shipped: Invoices) -> None:
    sizes = sorted(len(basket.lines) for basket in shipped.baskets)
    assert (len(sizes), sum(sizes), sizes[-1]) == (3_724, 100_537, 673)
    catalogue = {product.sku for product in shipped.products}
    for basket in shipped.baskets:
        skus = [wanted.sku for wanted in basket.lines]
        assert len(set(skus)) == len(skus)
        assert catalogue.issuperset(skus)
        assert all(canonical_sku(sku) == sku for sku in skus)


def test_demand_is_the_sum_of_all_baskets(shipped: Invoices) -> None:
    wanted = baskets.demand(shipped.baskets)
    assert wanted.keys() == {product.sku for product in shipped.products}
    assert sum(wanted.values()) == sum(w.quantity for basket in shipped.baskets for w in basket.lines)
    assert baskets.demand(shipped.baskets[:1])["85123A"] == 6
