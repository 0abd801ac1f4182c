"""/metrics: the documented metrics exist, and count what happens over all processes together."""

import asyncio
import subprocess
from functools import partial
from typing import Final, get_args

import aiohttp
import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from ops.ports import free_port
from runtime.metrics.batches import Phase
from runtime.settings import Settings
from tests import needs, pace
from tests.e2e.faults import kill, stopped_meanwhile, workers_stopped
from tests.e2e.readings import Reading, read, scrape
from tests.e2e.shop import Shop
from tests.system import System, eventually_seen
from workers.partitioning import AHEAD

_MAKING: Final = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tidegate-partitions-batch'"


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

    assert moved("tidegate_orders_total", outcome="placed") == moved("tidegate_orders_total", outcome="cancelled") == 1
    assert moved("tidegate_orders_total") == 2
    assert moved("tidegate_orders_refused_total", reason="insufficient_stock") == 1
    assert moved("tidegate_orders_refused_total") == 1
    assert moved("tidegate_revenue_minor_total", currency="GBP") == moved("tidegate_revenue_minor_total") == 500
    phases = {phase: moved("tidegate_batch_phase_seconds_count", phase=phase) for phase in get_args(Phase)}
    assert phases["publish"] == 3
    assert phases["commit"] <= 3, "a small batch commits with its write"
    assert all(phases[phase] >= 3 for phase in ("load", "decide", "write"))
    assert moved("tidegate_event_counter_wait_seconds_count") >= phases["commit"]

    place = {"method": "POST", "route": "/api/v1/orders"}
    assert moved("tidegate_http_request_seconds_count", **place, status="201") == 1
    assert moved("tidegate_http_request_seconds_count", **place, status="409") == 1
    assert moved("tidegate_http_request_seconds_count", **place, status="422") == 1
    cancel = {"method": "POST", "route": "/api/v1/orders/{order_id}/cancel"}
    assert moved("tidegate_http_request_seconds_count", **cancel, status="200") == 1


async def test_partitions_are_counted_and_made_in_a_connection_of_their_own(shop: Shop) -> None:
    """Postgres, or a worker, would end them after a batch's time."""

    async def are_ahead() -> bool:
        if (await read(shop))("tidegate_log_partitions_ahead", table="events") != AHEAD:
            return False
        return bool(await shop.database.fetchval(_MAKING) > 0)

    await eventually_seen("partitions, made ahead", are_ahead, within_seconds=20)


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


async def test_failures_are_counted(shop: Shop) -> None:
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

    async def is_empty() -> bool:
        """What was applied is removed a moment later."""
        empty = await read(shop)
        return empty("tidegate_mailbox_commands") == empty("tidegate_mailbox_oldest_seconds") == 0

    await eventually_seen("empty mailboxes", is_empty, within_seconds=5)
    async with workers_stopped(shop.system):
        for _ in range(3):
            last = (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1}, wait=None)).ok(202)
        waiting = await read(shop)
        later = await read(shop)
    assert waiting("tidegate_mailbox_bytes", mailbox=mailbox) > 300
    assert waiting("tidegate_mailbox_commands", mailbox=mailbox) == waiting("tidegate_mailbox_commands") == 3
    assert 0 < waiting("tidegate_mailbox_oldest_seconds", mailbox=mailbox) < 30
    assert later("tidegate_mailbox_oldest_seconds") > waiting("tidegate_mailbox_oldest_seconds")
    await shop.staff.settled(last["command_id"])
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()


async def test_the_state_of_the_system_is_shown(shop: Shop) -> None:
    now = await read(shop)
    assert now("tidegate_accept_durable") == 1
    assert now("tidegate_redis_up") == 1
    assert now("tidegate_redis_memory_bytes") > 1_000_000
    assert now("tidegate_mailbox_max_commands") == Settings.model_fields["mailbox_max_commands"].default
    assert now("tidegate_mailbox_max_bytes") == Settings.model_fields["mailbox_max_bytes"].default
    body = (await scrape(shop)).body
    for name in ("tidegate_redis_memory_max_bytes", "tidegate_redis_delayed_fsyncs_total", "tidegate_holds_overdue"):
        assert f"\n{name} ".encode() in body, name
    assert b"\ntidegate_batches_in_progress " in body


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
async def test_openmetrics_is_served_on_request(shop: Shop, accept: str) -> None:
    answer = await scrape(shop, accept)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")
    assert Reading(answer.body.decode(), parse_openmetrics)("tidegate_redis_up") == 1


async def test_openmetrics_names_a_command_and_slow_requests(shop: Shop) -> None:
    """An exemplar is of the newest batch that fell into its bucket; it can be looked up."""
    sku = await shop.product()

    async def has_waited() -> bool:
        return (await read(shop))("tidegate_mailbox_oldest_seconds") > 0.1

    async with workers_stopped(shop.system):
        receipt = f"/inventory/{sku}/receipts"
        slow = asyncio.create_task(shop.staff.post(receipt, {"quantity": 1}, headers={"X-Request-ID": "a-slow-one"}))
        await eventually_seen("a command that waits", has_waited, within_seconds=10)
    (await slow).ok()
    command_id = str(await shop.database.fetchval("SELECT command_id FROM events ORDER BY seq DESC LIMIT 1"))

    async def names() -> bool:
        text = (await scrape(shop, "application/openmetrics-text")).body.decode()
        return {
            ("tidegate_accept_to_commit_seconds_bucket", ("command_id", command_id)),
            ("tidegate_http_request_seconds_bucket", ("request_id", "a-slow-one")),
        } <= Reading(text, parse_openmetrics).exemplars

    await eventually_seen("exemplars", names, within_seconds=10)
    assert b"# {" not in (await scrape(shop)).body, "Prometheus text has none"


# The event counter is the log's last lock; the linter takes the word for a metric's type.
_NOT_A_TYPE: Final = "tidegate_event_counter_wait_seconds "


async def test_prometheus_own_linter_finds_nothing(shop: Shop) -> None:
    """A real scrape. The linter reads Prometheus text only."""
    promtool = needs.program("promtool", "promtool")
    await shop.customer().placed({await shop.product(on_hand=1): 1})
    body = (await scrape(shop)).body
    check = partial(subprocess.run, [promtool, "check", "metrics"], text=True, capture_output=True, check=False)
    done = await asyncio.to_thread(check, input=body.decode(), timeout=pace.seconds(30))
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if not line.startswith(_NOT_A_TYPE)] == []


@pytest.mark.parametrize(
    "accept", ["", "*/*", "text/plain", "application/json", "garbage;;q=x", "application/openmetrics-text; version=x"]
)
async def test_prometheus_text_is_the_default(shop: Shop, accept: str) -> None:
    answer = await scrape(shop, accept)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert Reading(answer.body.decode())("tidegate_redis_up") == 1


async def test_every_metric_has_a_description(shop: Shop) -> None:
    for family in parse_text((await scrape(shop)).body.decode()):
        assert family.name.startswith(("tidegate_", "process_"))
        assert family.documentation


async def test_a_worker_that_hangs_shows_although_gateways_answer(shop: Shop) -> None:
    (pid,) = shop.system.worker_pids()[:1]
    before = await read(shop)
    assert before("tidegate_processes", role="worker") == len(shop.system.worker_pids())
    for role in ("gateway", "background", "scheduler"):
        assert before("tidegate_processes", role=role) >= 1
        assert before("process_cpu_seconds_total", role=role) > 0
    async with stopped_meanwhile([pid]):

        async def is_silent() -> bool:
            now = await read(shop)
            silent, answers = (now("tidegate_heartbeat_timestamp_seconds", role=role) for role in ("worker", "gateway"))
            return answers > before("tidegate_heartbeat_timestamp_seconds", role="gateway") and answers > silent + 1.5

        await eventually_seen("a silent worker", is_silent, within_seconds=10)
        now = await read(shop)
        assert now("tidegate_processes") == before("tidegate_processes"), "it hangs, but lives"


async def test_a_killed_worker_shows_and_what_it_counted_stays(shop: Shop) -> None:
    sku = await shop.product()
    before = await read(shop)
    pids = shop.system.worker_pids()
    await kill(*pids)

    async def are_new() -> bool:
        now = await read(shop)
        assert now("tidegate_commands_finished_total") >= before("tidegate_commands_finished_total")
        assert now("process_cpu_seconds_total", role="worker") >= before("process_cpu_seconds_total", role="worker")
        started = "process_start_time_seconds"
        return now("tidegate_processes", role="worker") == len(pids) and now(started) > before(started)

    await eventually_seen("workers in place of those that were killed", are_new, within_seconds=10)
    (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
    after = await read(shop)
    assert after("tidegate_commands_finished_total") > before("tidegate_commands_finished_total")


@pytest.mark.campaign
async def test_concurrent_scrapes_do_not_disturb_each_other(shop: Shop) -> None:
    answers = await asyncio.gather(*(scrape(shop) for _ in range(10)))
    for answer in answers:
        assert Reading(answer.body.decode())("tidegate_redis_up") == 1


@pytest.mark.campaign
async def test_in_production_metrics_need_a_scope_or_their_own_port() -> None:
    """Two gateway processes share that port: it is still served when one of them is killed."""
    port, workers_port = free_port(), free_port()
    settings = {
        "TIDEGATE_GATEWAY_PROCESSES": "2",
        "TIDEGATE_METRICS_PUBLIC": "false",
        "TIDEGATE_METRICS_PORT": str(port),
        "TIDEGATE_WORKER_METRICS_PORT": str(workers_port),
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
            async with http.get(f"http://127.0.0.1:{workers_port}/metrics") as answer:
                assert answer.status == 200
                body = await answer.read()
                assert b'\ntidegate_processes{role="worker"} 2.0' in body
                assert b"tidegate_redis_up" not in body, "that is asked where there is a gateway"
            async with http.get(f"http://127.0.0.1:{port}/api/v1/products") as answer:
                assert answer.status == 404
            psutil.Process(system.pid("gateway")).children()[0].kill()

            async def answers() -> bool:
                try:
                    return await status(own) == 200
                except aiohttp.ClientError:  # the killed one had accepted it from the port's queue
                    return False

            await eventually_seen("the port served by the other", answers, within_seconds=10)
