"""/metrics: what SREs are promised is there, and moves with what happens, over all processes together."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import aiohttp
import psutil
import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.app import create_app
from ops.ports import free_port
from runtime import metrics
from runtime.metrics import OTHER, REACTION_HANDLED, ClosedCounter, ClosedHistogram
from runtime.settings import Settings
from tests.e2e.api import Answer
from tests.e2e.faults import workers_stopped
from tests.e2e.shop import Shop
from tests.system import System, eventually_seen
from workers import background

Sample = tuple[str, frozenset[tuple[str, str]]]


async def scrape(shop: Shop, accept: str = "text/plain") -> Answer:
    answer = await shop.anybody.request("GET", "/metrics", headers={"Accept": accept})
    assert answer.status == 200
    return answer


class Reading:
    """One scrape, by sample name and labels; those that are not there are 0."""

    def __init__(self, text: str, parse: Callable[[str], Iterable[Metric]] = parse_text) -> None:
        self._values: Mapping[Sample, float] = defaultdict(
            float, {(s.name, frozenset(s.labels.items())): s.value for family in parse(text) for s in family.samples}
        )

    def __call__(self, name: str, **labels: str) -> float:
        """The sum of all samples of that name that have these labels."""
        wanted = set(labels.items())
        return sum(value for (found, has), value in self._values.items() if found == name and wanted <= has)


async def read(shop: Shop) -> Reading:
    return Reading((await scrape(shop)).body.decode())


async def test_commands_are_counted_from_acceptance_to_outcome(shop: Shop) -> None:
    sku = await shop.product(on_hand=3)
    customer = shop.customer()
    before = await read(shop)
    order = await customer.placed({sku: 2})
    (await customer.place({sku: 2})).problem(409, "insufficient_stock")
    (await customer.cancel(order["id"])).ok()
    (await customer.place({sku: 0})).problem(422, "invalid_request")
    after = await read(shop)

    def moved(name: str, **labels: str) -> float:
        return after(name, **labels) - before(name, **labels)

    assert moved("tidegate_commands_accepted_total", type="PlaceOrder") == 2
    assert moved("tidegate_commands_accepted_total", type="CancelOrder") == 1
    assert moved("tidegate_commands_accepted_total") == 3
    assert moved("tidegate_commands_finished_total", type="PlaceOrder", status="applied") == 1
    assert moved("tidegate_commands_finished_total", type="PlaceOrder", status="rejected") == 1
    assert moved("tidegate_commands_finished_total", type="CancelOrder", status="applied") == 1
    assert moved("tidegate_commands_finished_total") == 3
    assert moved("tidegate_batch_commands_sum") == 3
    assert moved("tidegate_batch_commands_count") == moved("tidegate_batch_seconds_count") == 3
    assert moved("tidegate_accept_to_commit_seconds_count") == 3
    assert 0 < moved("tidegate_accept_to_commit_seconds_sum") < 30
    assert moved("tidegate_accept_to_commit_seconds_bucket", le="+Inf") == 3

    place = {"method": "POST", "route": "/api/v1/orders"}
    assert moved("tidegate_http_request_seconds_count", **place, status="201") == 1
    assert moved("tidegate_http_request_seconds_count", **place, status="409") == 1
    assert moved("tidegate_http_request_seconds_count", **place, status="422") == 1
    cancel = {"method": "POST", "route": "/api/v1/orders/{order_id}/cancel"}
    assert moved("tidegate_http_request_seconds_count", **cancel, status="200") == 1


async def test_a_batch_is_counted_by_its_size(shop: Shop) -> None:
    sku = await shop.product()
    before = await read(shop)
    async with workers_stopped(shop.system):
        receipt = f"/inventory/{sku}/receipts"
        answers = await asyncio.gather(*(shop.staff.post(receipt, {"quantity": 1}, wait=None) for _ in range(30)))
    for answer in answers:
        await shop.staff.settled(answer.ok(202)["command_id"])
    after = await read(shop)
    assert after("tidegate_batch_commands_sum") - before("tidegate_batch_commands_sum") == 30
    assert after("tidegate_batch_commands_count") - before("tidegate_batch_commands_count") == 1


async def test_what_fails_is_counted(shop: Shop) -> None:
    sku = await shop.product()
    before = await read(shop)
    await shop.put_entry(shop.mailbox_of(sku), {b"v": b"1", b"e": b"\xff"})
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
    after = await read(shop)
    for name, labels in (
        ("tidegate_dead_letters_total", {"code": "unreadable_envelope"}),
        ("tidegate_commands_finished_total", {"type": "unreadable", "status": "failed"}),
        ("tidegate_commands_finished_total", {"type": "ReceiveStock", "status": "applied"}),
    ):
        assert after(name, **labels) - before(name, **labels) == 1


async def test_the_backlog_is_shown_with_its_age(shop: Shop) -> None:
    sku = await shop.product()
    mailbox = str(shop.mailbox_of(sku))
    empty = await read(shop)
    assert empty("tidegate_mailbox_commands") == 0
    assert empty("tidegate_mailbox_oldest_seconds") == 0
    async with workers_stopped(shop.system):
        for _ in range(3):
            last = (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1}, wait=None)).ok(202)
        waiting = await read(shop)
        later = await read(shop)
    assert waiting("tidegate_mailbox_commands", mailbox=mailbox) == waiting("tidegate_mailbox_commands") == 3
    assert 0 < waiting("tidegate_mailbox_oldest_seconds", mailbox=mailbox) < 30
    assert later("tidegate_mailbox_oldest_seconds") > waiting("tidegate_mailbox_oldest_seconds")
    await shop.staff.settled(last["command_id"])
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()


async def test_the_state_of_the_system_is_shown(shop: Shop) -> None:
    now = await read(shop)
    assert now("tidegate_accept_durable") == 1
    assert now("tidegate_redis_up") == 1


async def test_errors_are_counted_by_code(shop: Shop) -> None:
    before = await read(shop)
    (await shop.customer().post("/orders", b"{")).problem(400, "malformed_json")
    (await shop.anybody.get("/orders")).problem(401, "unauthenticated")
    (await shop.customer().get("/orders/none")).problem(422, "invalid_request")
    (await shop.customer().get("/none")).problem(404, "not_found")
    (await shop.customer().place({await shop.product(): 1})).problem(409, "insufficient_stock")
    after = await read(shop)
    for code in ("malformed_json", "unauthenticated", "invalid_request", "not_found", "insufficient_stock"):
        name = "tidegate_problems_total"
        assert after(name, code=code) - before(name, code=code) == 1


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0", "application/openmetrics-text"])
async def test_openmetrics_is_spoken_to_who_asks(shop: Shop, accept: str) -> None:
    answer = await scrape(shop, accept)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert Reading(answer.body.decode(), parse_openmetrics)("tidegate_redis_up") == 1


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/plain", "application/json", "garbage;;q=x", "application/openmetrics-text; version=x"]
)
async def test_prometheus_text_is_spoken_to_all_others(shop: Shop, accept: str) -> None:
    answer = await scrape(shop, accept)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert Reading(answer.body.decode())("tidegate_redis_up") == 1


async def test_every_metric_is_explained(shop: Shop) -> None:
    for family in parse_text((await scrape(shop)).body.decode()):
        assert family.name.startswith("tidegate_")
        assert family.documentation


@pytest.mark.campaign
async def test_scrapes_at_the_same_time_do_not_disturb_each_other(shop: Shop) -> None:
    answers = await asyncio.gather(*(scrape(shop) for _ in range(10)))
    for answer in answers:
        assert Reading(answer.body.decode())("tidegate_redis_up") == 1


async def test_what_clients_make_up_does_not_become_a_label(shop: Shop) -> None:
    for path in ("/made-up-1", "/made-up-2", "/api/v1/orders/made-up-3", "/inventory/made-up-4"):
        await shop.staff.request("GET", path)
    assert b"made-up" not in (await scrape(shop)).body


# Of those that the parser takes, some that no route has.
_STRANGE_METHODS: Final = ("PROPFIND", "MKCOL", "REPORT", "LOCK", "PURGE", "SUBSCRIBE", "M-SEARCH", "SOURCE")


async def test_whatever_clients_send_labels_stay_within_their_sets(shop: Shop) -> None:
    """Strange methods on every path there is, and statuses that a client can bring about."""
    paths = list((await shop.anybody.request("GET", "/api/openapi.json")).json()["paths"])
    for path in paths:
        filled = re.sub(r"\{[^}]*\}", "made-up", path)
        for method in _STRANGE_METHODS:
            (await shop.anybody.request(method, filled)).problem(405, "method_not_allowed")
    answer = await scrape(shop)
    assert b"made-up" not in answer.body
    closed = {
        metric._name: metric for metric in vars(metrics).values() if isinstance(metric, ClosedCounter | ClosedHistogram)
    }
    create_app(Settings())  # it names the routes
    assert background  # and this the reactions
    looked_at = set()
    for family in parse_text(answer.body.decode()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                if family.name in closed and label != "le":
                    assert value in closed[family.name].allowed(label), sample
                    looked_at.add((family.name, label))
                else:
                    assert label in ("le", "mailbox") or value in REACTION_HANDLED.allowed(label), sample
    assert ("tidegate_http_request_seconds", "method") in looked_at
    refused = [
        sample.labels
        for family in parse_text(answer.body.decode())
        for sample in family.samples
        if sample.name == "tidegate_http_request_seconds_count" and sample.labels["status"] == "405"
    ]
    assert {labels["method"] for labels in refused} == {OTHER}
    routes = [labels["route"] for labels in refused]
    assert len(routes) == len(set(routes)), "a series a route, whatever the method, and whoever else has asked before"


@pytest.mark.campaign
async def test_in_production_metrics_take_a_right_or_a_port_of_their_own() -> None:
    """Two gateway processes serve that port together: it goes on when one of them is gone."""
    port = free_port()
    settings = {
        "TIDEGATE_GATEWAY_PROCESSES": "2",
        "TIDEGATE_METRICS_PUBLIC": "false",
        "TIDEGATE_METRICS_PORT": str(port),
    }
    with System(settings) as system:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:

            async def status(url: str, role: str | None = None) -> int:
                headers = {} if role is None else {"Authorization": f"Bearer {system.token(role)}"}
                async with http.get(url, headers=headers) as answer:
                    body = await answer.read()
                assert (b"tidegate_redis_up 1.0" in body) == (answer.status == 200)
                return answer.status

            public, own = f"{system.url}/metrics", f"http://127.0.0.1:{port}/metrics"
            assert await status(public) == 401
            assert await status(public, "customer") == 403
            assert await status(public, "staff") == 200
            assert await status(own) == 200
            async with http.get(f"http://127.0.0.1:{port}/api/v1/products") as answer:
                assert answer.status == 404
            children = psutil.Process(system.pid("gateway")).children()
            next(child for child in children if "spawn_main" in " ".join(child.cmdline())).kill()

            async def answers() -> bool:
                try:
                    return await status(own) == 200
                except aiohttp.ClientError:  # what the killed one had taken from the port's queue
                    return False

            await eventually_seen("the port served by the other", answers, within_seconds=10)
