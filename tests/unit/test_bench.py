"""The benchmarks' arithmetic and forms: medians, who is best, verdicts, and orders that are the same on every side."""

import importlib
import os
import subprocess
import sys
from array import array
from collections.abc import Iterator, MutableMapping
from contextlib import nullcontext
from itertools import islice
from random import Random
from typing import Any

import msgspec
import pytest

from domain.ids import mailbox_of_slot, slot_of_id
from domain.orders import PlaceOrder
from loadtests import baskets
from loadtests.bench import costs, goods, raw, raw_page, report, search
from loadtests.bench.pgbench import SCRIPTS
from loadtests.bench.plan import FULL, Measured, Results
from loadtests.bench.rows import EMPTY, full
from loadtests.bench.served import gateway_with
from loadtests.bench.stage import BenchError, Stage
from loadtests.bench.targets import COST, Target, targets
from loadtests.bench.waiting import check_refused
from loadtests.loadgen import LoadResult, parse
from ops.articles import listing
from runtime import envelope
from runtime.envelope import ENVELOPE_FIELD, SCHEMA_VERSION, VERSION_FIELD
from runtime.signing_keys import KeyRing
from runtime.tokens import claims_of

SECRET = "a-secret-for-these-tests-of-32-bytes-or-more"


def results(**series: list[float]) -> Results:
    found = Results()
    for name, values in series.items():
        for value in values:
            found.add(Measured(name, value))
    return found


def test_a_series_is_its_median() -> None:
    found = results(apply=[30.0, 10.0, 20.0])
    assert found.median("apply") == 20.0
    assert found.median("something else") is None


def test_the_best_opponent_is_the_one_with_the_highest_median() -> None:
    found = results(**{"pgbench hot: a": [1.0, 9.0, 1.0], "pgbench hot: b": [2.0, 2.0], "pgbench spread: a": [50.0]})
    assert found.best("pgbench hot: ") == ("pgbench hot: b", 2.0)
    assert found.best("baseline") is None


@pytest.mark.parametrize(("value", "verdict"), [(None, "not measured"), (1.9, "missed"), (2.0, "must"), (4.0, "aim")])
def test_a_higher_ratio_is_better(value: float | None, verdict: str) -> None:
    assert Target("apply", value, "x", 2, 4).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(15.0, "missed"), (14.9, "must"), (6.0, "must"), (5.9, "aim")])
def test_fewer_milliseconds_are_better(value: float, verdict: str) -> None:
    assert Target("wait", value, "ms", 15, 6).verdict == verdict


@pytest.mark.parametrize(("value", "verdict"), [(4.0, "missed"), (3.9, "must"), (2.9, "aim")])
def test_a_lower_cost_is_better(value: float, verdict: str) -> None:
    assert Target("CPU", value, COST, 4, 3).verdict == verdict


def test_every_target_is_a_ratio_to_the_best_opponent_of_the_run() -> None:
    found = results(
        **{
            "apply spread": [20_000.0],
            "pgbench spread: gapless, 4 clients": [2_000.0],
            "pgbench spread: one statement, 16 clients": [8_000.0],
            "apply sold out": [18_000.0],
            "apply hot": [20_000.0],
            "pgbench hot: gapless, 4 clients": [1_000.0],
            "end to end: tidegate": [3_000.0],
            "end to end: baseline, 1 process": [200.0],
            "end to end: baseline, 2 processes": [300.0],
            "accept: gateway": [5_000.0],
            "accept: raw ASGI": [40_000.0],
            "wait: p50": [5.0],
            "wait: pgbench": [1.25],
            "browse: gateway": [20_000.0],
            "browse: raw ASGI": [40_000.0],
            "search: p95": [30.0],
            "import: rows": [4_000.0],
            EMPTY: [20_000.0],
            full(1_000_000): [17_000.0],
        }
    )
    reached = [target for target in targets(found, 1_000_000) if target.value is not None]
    assert [(target.value, target.verdict) for target in reached] == [
        (2.5, "missed"),
        (20.0, "must"),
        (10.0, "aim"),
        (0.125, "missed"),
        (0.9, "must"),
        (5.0, "aim"),
        (4.0, "missed"),
        (0.5, "aim"),
        (30.0, "must"),
        (4_000.0, "must"),
        (0.85, "must"),
        (10.0, "for comparison"),
        (20.0, "for comparison"),
    ]
    assert reached[0].against == "pgbench spread: one statement, 16 clients"
    assert len(targets(found, 0)) == len(targets(found, 1_000_000)) - 1
    assert {target.verdict for target in targets(Results(), 0)} == {"not measured"}


def test_the_document_is_json_with_every_value() -> None:
    found = results(**{"apply spread": [1.0, 3.0, 2.0]})
    document = report.document(found, targets(found, 0), {"cpu": "one"}, FULL, 12.34)
    read = msgspec.json.decode(msgspec.json.encode(document))
    assert read["series"] == [{"name": "apply spread", "unit": "orders/s", "median": 2.0, "values": [1.0, 3.0, 2.0]}]
    assert {target["verdict"] for target in read["targets"]} == {"not measured"}
    assert (read["seconds"], read["configuration"]) == (12.3, {"cpu": "one"})


def test_orders_have_two_different_skus_from_the_pool() -> None:
    orders = list(islice(goods.two_lines(Random(goods.SEED), goods.SPREAD_SKUS), 2_000))
    skus = {wanted.sku for order in orders for wanted in order.lines}
    assert skus <= {product.sku for product in goods.products()}
    assert len(skus) > goods.SPREAD_SKUS / 2
    assert all(len({wanted.sku for wanted in order.lines}) == 2 for order in orders)
    hot = islice(goods.two_lines(Random(goods.SEED), goods.HOT_SKUS), 100)
    assert {wanted.sku for order in hot for wanted in order.lines} == {str(goods.FIRST_SKU), str(goods.FIRST_SKU + 1)}


def test_real_baskets_are_repeated() -> None:
    invoices = baskets.shipped()
    orders = list(islice(goods.real(invoices), len(invoices.baskets) + 1))
    assert orders[0] == orders[-1] == (invoices.baskets[0].customer_id, invoices.baskets[0].lines)


def test_an_entry_is_what_the_gateway_would_have_posted() -> None:
    purchases = list(islice(goods.two_lines(Random(1), 10), 50))
    entries = goods.entries(purchases, 16)
    keys = set()
    for purchase, entry in zip(purchases, entries, strict=True):
        sealed, command = envelope.decode({VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: entry.encoded})
        assert isinstance(command, PlaceOrder)
        assert (command.customer_id, command.lines) == purchase
        assert entry.mailbox == mailbox_of_slot(slot_of_id(command.order_id), 16)
        assert (sealed.principal, sealed.staff) == (purchase.customer_id, False)
        keys.add(sealed.idempotency_key)
    assert len(keys) == 50

    (article,) = goods.products()[:1]
    (entry,) = goods.listings([article], 16)
    sealed, command = envelope.decode({VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: entry.encoded})
    assert command == listing(article, goods.PIECES)
    assert entry.mailbox == mailbox_of_slot(command.slot(), 16)
    assert sealed.staff


def test_a_request_carries_its_customer_s_token_and_a_key_of_its_own() -> None:
    purchases = list(islice(goods.two_lines(Random(1), 10), 2))
    first, second = goods.requests(purchases, "shop", KeyRing.shared(SECRET), wait_seconds=3)
    head, _, body = first.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert (
        claims_of(headers["authorization"].removeprefix("Bearer "), KeyRing.shared(SECRET))["sub"]
        == purchases[0].customer_id
    )
    assert headers["prefer"] == "wait=3"
    assert msgspec.json.decode(body) == {
        "lines": [{"sku": wanted.sku, "quantity": wanted.quantity} for wanted in purchases[0].lines]
    }
    assert headers["idempotency-key"].encode() not in second


def test_the_scripts_say_where_an_event_s_seq_comes_from() -> None:
    for script in SCRIPTS:
        assert "$" not in script.text
        assert ("UPDATE event_counter" in script.text) == (script.name == "gapless")
        assert ("nextval('event_seq')" in script.text) == (script.name != "gapless")


def test_baselines_run_with_the_gateway_s_own_options() -> None:
    ours, theirs = gateway_with("--factory gateway.app:create_app"), gateway_with("raw:app")
    assert ours.replace("--factory gateway.app:create_app", "raw:app") == theirs


async def test_the_generator_can_read_the_bare_apps_response() -> None:
    sent: list[MutableMapping[str, Any]] = []
    parts: Iterator[MutableMapping[str, Any]] = iter([{"body": b"{", "more_body": True}, {"body": b"}"}])

    async def receive() -> MutableMapping[str, Any]:
        return next(parts)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await raw.app({"type": "http"}, receive, send)
    start, body = sent
    head = b"".join(b"%s: %s\r\n" % header for header in start["headers"])
    whole = b"HTTP/1.1 %d Accepted\r\n%s\r\n%s" % (start["status"], head, body["body"])
    response = parse(whole)
    assert response is not None
    assert (response.status, response.end) == (202, len(whole))


def test_products_to_search_are_always_the_same_and_all_distinct() -> None:
    names = [product.name for product in baskets.shipped().products]
    found = search.made_up(names, 2_000)
    assert found == search.made_up(names, 2_000)
    assert len({good.product_id for good in found}) == len({good.sku for good in found}) == 2_000
    assert all(len(good.name) >= 2 and good.description for good in found)


def test_searches_are_words_misspelt_words_and_codes() -> None:
    found = search.made_up([product.name for product in baskets.shipped().products], 2_000)
    words = {word for good in found for word in good.name.lower().split()}
    asked = [search.searched(Random(seed), found) for seed in range(1_000)]
    codes = sum(each in {good.sku for good in found} for each in asked)
    right = sum(set(each.split()) <= words for each in asked)
    assert 50 < codes < 150
    assert 600 < right < 900


async def test_the_bare_page_has_the_requested_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(raw_page.BODY_BYTES_VARIABLE, "123")
    page = importlib.reload(raw_page)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("nothing is read")

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await page.app({"type": "http"}, receive, send)
    start, body = sent
    assert (start["status"], dict(start["headers"])[b"content-length"], len(body["body"])) == (200, b"123", 123)


def test_metrics_that_are_not_to_cost_anything_count_nothing() -> None:
    counts = (
        "from runtime.metrics import ACCEPTED, FEED_LAG_SECONDS, POST_SECONDS, registry\n"
        "ACCEPTED.labels('PlaceOrder').inc(); POST_SECONDS.observe(1); FEED_LAG_SECONDS.note(1)\n"
        "from runtime.metrics.noted import settle; settle()\n"
        "samples = [sample for family in registry().collect() for sample in family.samples]\n"
        "print(sum(sample.value for sample in samples if sample.name.startswith('tidegate_')"
        " and sample.name.endswith(('_total', '_count'))))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", counts], env={**os.environ, **more}, capture_output=True, text=True, check=True
        ).stdout
        for more in ({}, {"PYTHONPATH": costs.UNCOUNTED})
    ]
    assert float(said[0]) >= 3
    assert float(said[1]) == 0


def test_orders_that_were_refused_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stage, "row", lambda *_: {"count": 99})
    stage = Stage.__new__(Stage)
    stage.check_orders("postgresql:///bench", 99)
    with pytest.raises(BenchError, match="100 orders were to be placed and 99 are there"):
        stage.check_orders("postgresql:///bench", 100)


@pytest.mark.parametrize(
    ("placed", "refused", "is_right"),
    [(18, 2, True), (18, 3, True), (17, 3, False), (16, 4, False), (1, 19, False), (20, 0, False)],
)
def test_the_number_of_refused_orders_matches_those_for_sold_out_products(
    placed: int, refused: int, is_right: bool
) -> None:
    result = LoadResult(1.0, {201: placed, 409: refused}, 0, array("d"))
    with nullcontext() if is_right else pytest.raises(BenchError, match=f"^{refused} of "):
        check_refused(result)
