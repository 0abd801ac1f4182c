"""Labels of metrics have closed sets of values, whatever clients send. The other tests of metrics have a young shop;
this is an old one: what all tests before have sent is judged as well."""

import re
from collections.abc import AsyncIterator
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.app import create_app
from runtime import metrics
from runtime.metrics import OTHER, REACTION_HANDLED, TASK_RUNS, Closed
from runtime.settings import Settings
from tests.e2e.readings import scrape
from tests.e2e.shop import Shop
from workers import background, tally


@pytest.fixture(scope="module")
async def shop(shop: Shop) -> AsyncIterator[Shop]:
    async with shop.with_lasting_connections() as lasting:
        yield lasting


async def test_values_made_up_by_clients_do_not_become_labels(shop: Shop) -> None:
    for path in ("/made-up-1", "/made-up-2", "/api/v1/orders/made-up-3", "/inventory/made-up-4"):
        await shop.staff.request("GET", path)
    assert b"made-up" not in (await scrape(shop)).body


# Methods that the parser accepts and no route has.
_STRANGE_METHODS: Final = ("PROPFIND", "MKCOL", "REPORT", "LOCK", "PURGE", "SUBSCRIBE", "M-SEARCH", "SOURCE")


async def test_whatever_clients_send_labels_stay_within_their_sets(shop: Shop) -> None:
    """Strange methods on every path, and statuses that a client can cause."""
    paths = list((await shop.anybody.request("GET", "/api/openapi.json")).json()["paths"])
    for path in paths:
        filled = re.sub(r"\{[^}]*\}", "made-up", path)
        for method in _STRANGE_METHODS:
            (await shop.anybody.request(method, filled)).problem(405, "method_not_allowed")
    answer = await scrape(shop)
    assert b"made-up" not in answer.body
    closed = {metric._name: metric for metric in vars(metrics).values() if isinstance(metric, Closed)}
    create_app(Settings())  # it registers the routes
    assert background  # and this registers the reactions
    assert tally  # and this who takes payments
    looked_at = set()
    for family in parse_text(answer.body.decode()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                if family.name in closed and label != "le":
                    assert value in closed[family.name].allowed(label), sample
                    looked_at.add((family.name, label))
                elif label == "kind":  # of tasks that others have left in the shared shop
                    assert value in TASK_RUNS.allowed(label), sample
                else:
                    assert label in ("le", "mailbox", "state") or value in REACTION_HANDLED.allowed(label), sample
    assert ("tidegate_http_request_seconds", "method") in looked_at
    refused = [
        sample.labels
        for family in parse_text(answer.body.decode())
        for sample in family.samples
        if sample.name == "tidegate_http_request_seconds_count" and sample.labels["status"] == "405"
    ]
    assert {labels["method"] for labels in refused} == {OTHER}
    routes = [labels["route"] for labels in refused]
    assert len(routes) == len(set(routes)), "one series per route, whatever the method and other requests"
