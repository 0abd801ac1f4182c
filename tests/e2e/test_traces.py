"""One order under observation: its trace from the request to the webhook, every log line as JSON, and no personal data
in either."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import asyncpg
import pytest

from domain.ids import new_id
from domain.model import Wanted
from domain.orders import PlaceOrder
from ops import processes
from runtime import envelope as envelopes
from runtime.database import asyncpg_dsn
from runtime.entropy import random_bits
from runtime.envelope import Envelope
from tests.collector import Collector, Seen
from tests.e2e.people import ask_for_tokens, newcomer, sign_in
from tests.e2e.shop import Shop
from tests.listings import Listings
from tests.receiver import Receiver
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

CALLER_TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
CALLER_SPAN: Final = "b7ad6b7169203331"
EMAIL: Final = "traced.guest@example.com"
WITHIN_SECONDS: Final = 20.0


async def test_an_order_is_one_story_in_traces_and_logs_without_personal_data() -> None:
    with Collector() as collector:
        settings = {**collector.environment, "TIDEGATE_LOG_FORMAT": "json", "TIDEGATE_LOG_LEVEL": "DEBUG"}
        with System(settings) as system:
            secrets, delivered, dead = await _business(system, collector)
            spans = collector.spans()
            _is_one_story(spans, delivered)
            logs = {name: system.log(name).read_text() for name in processes.commands()}
        lines = {name: [json.loads(line) for line in log.splitlines()] for name, log in logs.items()}
        _says_who_is_dead(lines["worker"], *dead)
        said = b"".join(collector.bodies) + "".join(logs.values()).encode()
        assert [word for word in secrets if word.encode() in said] == []


async def _business(system: System, collector: Collector) -> tuple[list[str], str, tuple[str, str]]:
    """What must not appear; the traceparent of the order's delivery; the command and order of the dead letter."""
    database = await asyncpg.connect(asyncpg_dsn(system.postgres.url))
    async with aiohttp.ClientSession() as http, Listings(system) as listings, Receiver() as receiver:
        shop = Shop(system, http, database, listings)
        sku = await shop.product(on_hand=5)
        person = await newcomer(shop)
        tokens = await sign_in(shop, person)
        (await ask_for_tokens(shop, username=person.email, password="not the password")).problem(400, "invalid_grant")
        hook = (await shop.staff.post("/webhooks", {"url": receiver.url, "event_types": ["order.placed"]})).ok(201)
        traced = {"traceparent": f"00-{CALLER_TRACE}-{CALLER_SPAN}-01"}
        body = {"lines": [{"sku": sku, "quantity": 1}], "email": EMAIL}
        placed = (await shop.anybody.post("/orders", body, headers=traced)).ok(201)
        await receiver.has(1)
        asked = {"kind": "sales", "from": "2026-01-01", "to": "2026-01-02", "by": "day"}
        report = await shop.staff.post("/reports", asked, wait=0)
        assert report.status in (201, 202), report.body
        dead = await _dead_order(shop)

        def told(name: str) -> Callable[[], Any]:
            async def look() -> bool:
                return any(span.name == name for span in collector.spans())

            return look

        for name in ("deliver webhook", "run task report", "react mail"):
            await eventually_seen(f"the span {name}", told(name), within_seconds=WITHIN_SECONDS)

        async def came_back() -> bool:
            spans = collector.spans()
            reports = {span.id for span in spans if span.name == "run task report"}
            return any(span.name == "apply batch" and reports.intersection(span.links) for span in spans)

        await eventually_seen("the batch with the report's result", came_back, within_seconds=WITHIN_SECONDS)
        await database.close()
        secrets = [person.email, person.password, EMAIL, tokens.access_token, tokens.refresh_token, hook["secret"]]
        return [*secrets, placed["guest_token"], "not the password"], receiver.received[0].headers["traceparent"], dead


async def _dead_order(shop: Shop) -> tuple[str, str]:
    """An order whose rule raises."""
    order_id, command_id = (new_id(1_700_000_000_000, 0, random_bits()) for _ in range(2))
    twice = (Wanted("TWICE", 1), Wanted("TWICE", 1))
    command = envelopes.encode_command(PlaceOrder(order_id, "guest:traced", twice))
    envelope = Envelope(command_id, "guest:traced", False, 1_700_000_000_000_000, command, traceparent="00-rubbish")
    fields = {envelopes.VERSION_FIELD: envelopes.SCHEMA_VERSION, envelopes.ENVELOPE_FIELD: envelopes.encode(envelope)}
    await shop.put_entry(0, fields)

    async def is_buried() -> bool:
        found = await shop.database.fetchval("SELECT count(*) FROM dead_letters WHERE command_id = $1", command_id)
        return bool(found)

    await eventually_seen("a dead letter", is_buried, within_seconds=WITHIN_SECONDS)
    return str(command_id), str(order_id)


def _is_one_story(spans: list[Seen], delivered: str) -> None:
    """From the caller's span by parent and child to the command, and from there by links to everything that follows."""

    def one(name: str, fits: Callable[[Seen], bool]) -> Seen:
        (found,) = [span for span in spans if span.name == name and fits(span)]
        return found

    def committed(cause: tuple[str, str]) -> Seen:
        """The batch that this led to. Another worker that reads the same entry at that moment tries in vain, and tells
        the feed of nothing."""
        told = {span.parent for span in spans if span.name == "publish feed"}
        return one("apply batch", lambda span: cause in span.links and span.span in told)

    request = one("POST /api/v1/orders", lambda span: True)
    assert (request.service, request.trace, request.parent) == ("tidegate-gateway", CALLER_TRACE, CALLER_SPAN)
    assert request.attributes["http.response.status_code"] == 201
    post = one("post command", lambda span: span.parent == request.span)
    one("wait for outcome", lambda span: span.parent == request.span)
    assert post.trace == CALLER_TRACE
    batch = committed(post.id)
    assert (batch.service, batch.parent) == ("tidegate-worker", "")
    assert batch.trace != CALLER_TRACE
    one("publish feed", lambda span: span.parent == batch.span)
    reaction = one("react webhook", lambda span: post.id in span.links)
    delivery = one("deliver webhook", lambda span: span.parent == reaction.span)
    assert delivery.service == "tidegate-background"
    assert delivered.startswith(f"00-{delivery.trace}-{delivery.span}-")
    task = one("run task report", lambda span: True)
    asked = one("POST /api/v1/reports", lambda span: True)
    assert task.links == [one("post command", lambda span: span.parent == asked.span).id]
    # The task's result comes back as a command, whose batch follows from the task.
    committed(task.id)


def _says_who_is_dead(lines: list[dict[str, Any]], command_id: str, order_id: str) -> None:
    line = next(line for line in lines if "raised" in line["message"])
    assert (line["command_id"], line["order_id"]) == (command_id, order_id)
    assert (line["level"], line["logger"]) == ("ERROR", "workers.batch")
    assert len(line["trace_id"]) == 32
