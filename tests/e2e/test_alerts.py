"""Every alert fires in a real system whose fault is provoked, as a real Prometheus sees it, and not before.

Those of a fault that would take hours are left to promtool (`deploy/prometheus/tests`); `tests/unit/test_alerts.py`
knows which, and that no other is missing here.
"""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

import aiohttp
import asyncpg
import psutil
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from domain.limits import DESCRIPTION_MAX_CHARS
from ops.ports import free_port
from runtime.database import asyncpg_dsn
from tests.e2e.alerted import MAILBOX_MAX_COMMANDS, Watched, silent_until_now, watched_system
from tests.e2e.catalogue import Catalogue
from tests.e2e.faults import background_stopped, stopped_meanwhile, workers_stopped
from tests.e2e.watching import prometheus
from tests.e2e.wire import Wire
from tests.system import System, eventually_seen

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(600)]

STALL_SECONDS: Final = 1.5


@pytest_asyncio.fixture(scope="module")
async def watched() -> AsyncIterator[Watched]:
    async with watched_system() as watched:
        yield watched


def gateway_pids(system: System) -> Sequence[int]:
    gateway = psutil.Process(system.pid("gateway"))
    return [gateway.pid, *(child.pid for child in gateway.children(recursive=True))]


async def stalled(pids: Sequence[int], seconds: float) -> None:
    """Stops processes for so long."""
    async with stopped_meanwhile(pids):
        await asyncio.sleep(seconds)


async def test_a_row_altered_by_hand(watched: Watched) -> None:
    shop, watching, *_ = watched
    sku = await shop.product(on_hand=3)
    async with silent_until_now(watching, "TidegateTablesDifferFromLog"):
        await shop.database.execute("UPDATE stock SET on_hand = 4 WHERE sku = $1", sku)
        await watching.fires("TidegateTablesDifferFromLog", table="stock")
    await shop.database.execute("UPDATE stock SET on_hand = 3 WHERE sku = $1", sku)
    await watching.ends("TidegateTablesDifferFromLog")


async def test_background_processes_that_do_nothing(watched: Watched) -> None:
    shop, watching, *_ = watched
    names = (
        "TidegateReactionLate",
        "TidegateWebhooksLate",
        "TidegateTasksLate",
        "TidegateHoldsOverdue",
        "TidegateVerifyLate",
    )
    sku = await shop.product(on_hand=9)
    async with silent_until_now(watching, *names, "TidegateProcessHangs"), background_stopped(shop.system):
        order = {"lines": [{"sku": sku, "quantity": 1}], "email": "somebody@shop.example"}
        (await shop.anybody.post("/orders", order)).ok(201)
        asked = {"kind": "sales", "from": "2026-01-01", "to": "2026-01-02", "by": "day"}
        assert (await shop.staff.post("/reports", asked, wait=0)).status in (201, 202)
        for name in names:
            await watching.fires(name)
        await watching.fires("TidegateProcessHangs", role="background")
    await watching.ends(*names, "TidegateProcessHangs")


async def test_background_processes_that_are_gone(watched: Watched) -> None:
    shop, watching, *_ = watched
    async with silent_until_now(watching, "TidegateRoleGone"):
        shop.system.kill_process("background")
        await watching.fires("TidegateRoleGone", role="background")
    shop.system.start_process("background")
    await watching.ends("TidegateRoleGone")


async def test_a_mail_server_that_refuses(watched: Watched) -> None:
    shop, watching, mail, _ = watched
    async with silent_until_now(watching, "TidegateReactionFails", "TidegateReactionDeadLetters"):
        mail.trouble["RCPT"] = "450 mailbox busy"
        sku = await shop.product(on_hand=9)
        order = {"lines": [{"sku": sku, "quantity": 1}], "email": "somebody@shop.example"}
        placed = (await shop.anybody.post("/orders", order)).ok(201)
        (await shop.staff.post(f"/orders/{placed['id']}/confirm")).ok()
        await watching.fires("TidegateReactionFails", reaction="mail")
        await watching.fires("TidegateReactionDeadLetters", reaction="mail")
    mail.trouble.clear()
    await watching.ends("TidegateReactionFails")


async def test_a_task_that_cannot_be_done(watched: Watched) -> None:
    shop, watching, *_ = watched
    async with silent_until_now(watching, "TidegateTasksDead"):
        task_id = uuid4()
        await shop.database.execute(
            "INSERT INTO tasks (id, kind, subject, payload, created_seq, due_at, created_at, updated_at)"
            " VALUES ($1, 'create_payment', 'x', '{}', 1, now(), now(), now())",
            task_id,
        )
        await watching.fires("TidegateTasksDead", kind="create_payment")
    await shop.database.execute("DELETE FROM tasks WHERE id = $1", task_id)
    await watching.ends("TidegateTasksDead")


async def test_workers_that_stand_still_while_commands_come(watched: Watched) -> None:
    shop, watching, *_ = watched
    sku = await shop.product()
    waits = ("TidegateCommandsWait", "TidegateMailboxFills", "TidegateProcessHangs")
    late = ("TidegateCommandsLate", "TidegateCommandsLateSlowly")
    async with silent_until_now(watching, *waits, *late):
        async with workers_stopped(shop.system):
            path, one = f"/inventory/{sku}/receipts", {"quantity": 1}
            posted = [(await shop.staff.post(path, one, wait=None)).ok(202) for _ in range(MAILBOX_MAX_COMMANDS - 5)]
            for name in waits[:2]:
                await watching.fires(name, mailbox=str(shop.mailbox_of(sku)))
            await watching.fires("TidegateProcessHangs", role="worker")
        await shop.staff.settled(posted[-1]["command_id"])
        for name in late:
            await watching.fires(name)
    await watching.ends(*waits)


async def test_an_entry_that_cannot_be_read(watched: Watched) -> None:
    shop, watching, *_ = watched
    sku = await shop.product()
    async with silent_until_now(watching, "TidegateDeadLetters"):
        await shop.put_entry(shop.mailbox_of(sku), {b"v": b"1", b"e": b"\xff"})
        (await shop.staff.post(f"/inventory/{sku}/receipts", {"quantity": 1})).ok()
        await watching.fires("TidegateDeadLetters", code="unreadable_envelope")


async def test_an_event_counter_that_somebody_holds(watched: Watched) -> None:
    """Small batches take it in their one statement; one that confirms an order does not."""
    shop, watching, *_ = watched
    sku = await shop.product(on_hand=9)
    async with silent_until_now(watching, "TidegateEventCounterSlow"):
        for _ in range(3):
            order = await shop.customer().placed({sku: 1})
            async with shop.database.transaction():
                await shop.database.execute("SELECT FROM event_counter FOR UPDATE")
                posted = (await shop.staff.post(f"/orders/{order['id']}/confirm", wait=None)).ok(202)
                await asyncio.sleep(1.0)
            await shop.staff.settled(posted["command_id"])
        await watching.fires("TidegateEventCounterSlow")


async def test_gateways_that_stand_still(watched: Watched) -> None:
    shop, watching, *_ = watched
    sku = await shop.product()
    late = ("TidegateFeedLate", "TidegateFeedLateSlowly")
    async with silent_until_now(watching, "TidegateNotScraped", *late), AsyncExitStack() as sockets:
        for _ in range(4):
            url = f"{shop.system.url}/ws?topics=log&token={shop.system.token('staff')}"
            await sockets.enter_async_context(shop.http.ws_connect(url))
        async with workers_stopped(shop.system):
            path = f"/inventory/{sku}/receipts"
            posted = [(await shop.staff.post(path, {"quantity": 1}, wait=None)).ok(202) for _ in range(20)]
            async with stopped_meanwhile(gateway_pids(shop.system)):
                for pid in shop.system.worker_pids():
                    os.kill(pid, signal.SIGCONT)
                await watching.fires("TidegateNotScraped")
        await shop.staff.settled(posted[-1]["command_id"])
        for name in late:
            await watching.fires(name)
    await watching.ends("TidegateNotScraped")


async def test_subscribers_that_do_not_read(watched: Watched) -> None:
    shop, watching, *_ = watched
    catalogue = Catalogue(shop)
    product = await catalogue.create()
    numbers = itertools.count()  # what is as it was is no event
    async with silent_until_now(watching, "TidegateSubscribersTooSlow"), AsyncExitStack() as stuck:

        async def are_closed() -> bool:
            """New ones each time: those that do not even answer pings are given up after a while."""
            for _ in range(4):
                wire = await stuck.enter_async_context(Wire(shop.system, shop.system.token("staff"), small=True))
                wire.say({"type": "subscribe", "topics": ["log"]})
            for _ in range(10):
                large = [{"description": str(next(numbers)).rjust(DESCRIPTION_MAX_CHARS, ".")} for _ in range(20)]
                path = f"/products/{product['id']}"
                changed = await asyncio.gather(*(catalogue.patch(path, each) for each in large))
                assert 200 in {each.status for each in changed}
            return "TidegateSubscribersTooSlow" in await watching.firing()

        await eventually_seen("TidegateSubscribersTooSlow", are_closed, within_seconds=120)


async def test_a_scheduler_that_stalls(watched: Watched) -> None:
    shop, watching, *_ = watched
    async with silent_until_now(watching, "TidegateEventLoopLags"):

        async def lags() -> bool:
            await stalled([shop.system.pid("scheduler")], STALL_SECONDS)
            fires = (await watching.firing()).get("TidegateEventLoopLags", ())
            return any(each["role"] == "scheduler" for each in fires)

        await eventually_seen("TidegateEventLoopLags", lags, within_seconds=60)


async def test_views_that_wait_for_a_lock(watched: Watched) -> None:
    shop, watching, *_ = watched
    order = await shop.customer().placed({await shop.product(on_hand=9): 1})
    async with silent_until_now(watching, "TidegateDatabasePoolExhausted"):
        asking = True

        async def ask() -> None:
            while asking:
                await shop.staff.get(f"/orders/{order['id']}")

        async with shop.database.transaction():
            await shop.database.execute("LOCK TABLE order_lines IN ACCESS EXCLUSIVE MODE")
            asked = [asyncio.create_task(ask()) for _ in range(24)]
            await watching.fires("TidegateDatabasePoolExhausted", pool="views")
            asking = False
        await asyncio.gather(*asked)
    await watching.ends("TidegateDatabasePoolExhausted")


async def test_no_partitions_ahead(watched: Watched) -> None:
    """As when no background process had made any, and none can while somebody reads all of the log."""
    shop, watching, *_ = watched
    async with silent_until_now(watching, "TidegateNoPartitionAhead"):
        other = await asyncpg.connect(asyncpg_dsn(shop.system.postgres.url))
        known = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass"
        ahead = [name for (name,) in await other.fetch(known) if name not in ("events_first", "events_default")]
        await other.execute(f"DROP TABLE {', '.join(ahead)}")
        async with other.transaction():
            await other.execute("SELECT FROM events LIMIT 1")
            await watching.fires("TidegateNoPartitionAhead", table="events")
        await other.close()


class Short(System):
    """A system whose gateway may open few files."""

    def __init__(self, settings: dict[str, str], open_files: int) -> None:
        super().__init__(settings)
        self._programs = {**self._programs, "gateway": f"ulimit -n {open_files}; {self._programs['gateway']}"}


async def test_a_system_that_is_set_up_wrongly() -> None:
    """Redis may lose what it was told, the replica is not there, and there are few files to be opened."""
    files = 400
    replica = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    settings = {"TIDEGATE_READ_DATABASE_URL": replica, "TIDEGATE_DESCRIPTORS_RESERVED": "64"}
    with Short(settings, files) as system:
        async with prometheus(system) as watching, aiohttp.ClientSession() as http:
            await watching.fires("TidegateReplicaNotRead")
            async with silent_until_now(watching, "TidegateAcceptNotDurable", "TidegateOpenFilesRunOut"):
                async with AsyncExitStack() as open_ones:
                    for _ in range(files - 100):
                        reader, writer = await asyncio.open_connection("127.0.0.1", system.port)
                        open_ones.callback(writer.close)
                        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                        assert (await reader.readline()).split()[1] == b"200"
                    await watching.fires("TidegateOpenFilesRunOut", role="gateway")
                async with Redis.from_url(system.valkey.url) as redis:
                    await redis.config_set("appendfsync", "everysec")
                system.kill_process("gateway")
                system.start_process("gateway")
                await watching.fires("TidegateAcceptNotDurable")
                async with http.get(f"{system.url}/health/live") as answer:
                    assert answer.status == 200
