"""Imports whose process is killed in the middle, uploads that never complete, and readers of exports that read nothing:
each row is applied once, and nothing is held for clients that are gone.
"""

import asyncio
import logging
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Final

import aiohttp
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from domain.limits import DESCRIPTION_MAX_CHARS
from runtime.mailboxes.redis_keys import stream_key
from runtime.settings import Settings
from runtime.tables.jobs import PART_BYTES
from tests.e2e.api import API, Client
from tests.e2e.faults import kill, workers_stopped
from tests.e2e.importing import CSV, article, brought_in, counts, errors, finished, send, sheet
from tests.e2e.ledger import Ledger
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

ROWS: Final = 3_000
WINDOW_ROWS: Final = 250
MAX_BYTES: Final = 24_000_000
STALL_SECONDS: Final = 5.0
LEAVES_SECONDS: Final = 4.0
SETTINGS: Final = MappingProxyType(
    {
        "TIDEGATE_TASK_LEASE_SECONDS": "1",
        "TIDEGATE_IMPORT_WINDOW_ROWS": str(WINDOW_ROWS),
        "TIDEGATE_IMPORT_ERRORS_MAX": "5",
        "TIDEGATE_IMPORT_MAX_BYTES": str(MAX_BYTES),
        "TIDEGATE_IMPORT_IDLE_SECONDS": "3",
        "TIDEGATE_IMPORT_MAX_UPLOADS": "1",
        "TIDEGATE_EXPORT_MAX_CONCURRENT": "1",
        "TIDEGATE_EXPORT_STALL_SECONDS": str(STALL_SECONDS),
    }
)
_log = logging.getLogger(__name__)

MAILBOXES: Final = range(Settings.model_fields["mailbox_count"].default)
SOON_SECONDS: Final = 15.0
KILLS: Final = 3

_PARTS: Final = "SELECT count(*) FROM job_parts"
_EXPORTING: Final = """
    SELECT count(*) FROM pg_stat_activity
    WHERE application_name = 'tidegate-view' AND state <> 'idle' AND query LIKE 'SELECT products.slug%'
"""


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    with System(SETTINGS) as running:
        yield running
        code, found = running.verify()
        assert code == 0, found
        assert not running.tracebacks()


@pytest_asyncio.fixture(scope="module")
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def admin(system: System, http: aiohttp.ClientSession) -> Client:
    return Client(http, system.url, system.token("admin", "importer"), "importer")


@pytest_asyncio.fixture
async def ledger(system: System) -> AsyncIterator[Ledger]:
    async with Ledger(system) as connected:
        yield connected


def is_count(ledger: Ledger, query: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return bool(await ledger.connection.fetchval(query) == count)

    return look


async def commands_wait(system: System) -> bool:
    async with Redis.from_url(system.valkey.url) as redis:
        return any([await redis.xlen(stream_key(mailbox)) for mailbox in MAILBOXES])


async def test_background_killed_in_the_middle_of_an_import(system: System, admin: Client, ledger: Ledger) -> None:
    seed = int(os.environ.get("SEED", random.randrange(10**6)))
    _log.info("SEED=%d", seed)
    moments = random.Random(seed)
    seq = await ledger.last_seq()
    accepted = (await send(admin, sheet(article(number) for number in range(ROWS)))).ok(202)

    async def is_at(run: int, offset: float) -> bool:
        found = (await admin.request("GET", accepted["status_url"])).ok()
        return bool(found["attempts"] >= run and found["progress"] >= offset)

    for kills in range(KILLS):
        headway = partial(is_at, kills + 1, (kills + 0.8 * moments.random()) / (KILLS + 1))
        await eventually_seen("another run's progress", headway, within_seconds=SOON_SECONDS)
        # A window is posted, wholly or in part, and not applied before its job is dead.
        async with workers_stopped(system):
            await eventually_seen("a window", lambda: commands_wait(system), within_seconds=SOON_SECONDS)
            await kill(*system.background_pids())
    found = await finished(admin, accepted["status_url"])
    assert (found["status"], counts(found)) == ("succeeded", (ROWS, ROWS, 0, 0)), found
    assert found["attempts"] > KILLS, "a busy machine may also lose a lease"

    told = await ledger.connection.fetch("SELECT type, count(*) FROM events WHERE seq > $1 GROUP BY type", seq)
    by_type = {kind: count for kind, count in told if kind != "command.repeated"}
    assert by_type == {
        "job.requested": 1,
        "product.created": ROWS,
        "product.variant_added": ROWS,
        "stock.adjusted": sum(1 for number in range(ROWS) if number % 50),
        "job.finished": 1,
    }
    assert counts(await brought_in(admin, (await admin.get("/exports/products.csv")).body)) == (ROWS, 0, ROWS, 0)
    # The uploads are of no more use, and will be deleted in time; nothing else is left of either import.
    assert await ledger.connection.fetchval("SELECT count(*) FROM job_parts WHERE run > 0") == 0


async def test_the_number_of_recorded_errors_is_limited_and_all_are_counted(admin: Client) -> None:
    found = await brought_in(admin, sheet(article(number, price_minor="much") for number in range(WINDOW_ROWS * 2)))
    assert counts(found) == (WINDOW_ROWS * 2, 0, 0, WINDOW_ROWS * 2)
    assert found["errors_kept"] == 5
    assert [line for line, _, _ in await errors(admin, found)] == [2, 3, 4, 5, 6]


async def test_an_interrupted_upload_leaves_nothing(system: System, admin: Client, ledger: Ledger) -> None:
    parts = await ledger.connection.fetchval(_PARTS)
    jobs = await ledger.connection.fetchval("SELECT count(*) FROM jobs")
    _, writer = await asyncio.open_connection("127.0.0.1", system.port)
    writer.write(
        f"POST {API}/imports HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {system.token('admin')}\r\n"
        f"Content-Type: text/csv\r\nContent-Length: 1000000\r\n\r\nslug,name\n{'x' * 600_000}".encode()
    )
    await writer.drain()
    await eventually_seen("parts of it", is_count(ledger, _PARTS, parts + 2), within_seconds=SOON_SECONDS)
    writer.close()
    await eventually_seen("none of it", is_count(ledger, _PARTS, parts), within_seconds=SOON_SECONDS)
    assert await ledger.connection.fetchval("SELECT count(*) FROM jobs") == jobs


async def test_a_stalled_upload_is_given_up_and_concurrent_uploads_are_limited(admin: Client, ledger: Ledger) -> None:
    parts = await ledger.connection.fetchval(_PARTS)
    done = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        yield b"slug,name\n".ljust(PART_BYTES)
        await done.wait()

    stalled = asyncio.create_task(send(admin, stalling()))
    await eventually_seen("a part of it", is_count(ledger, _PARTS, parts + 1), within_seconds=SOON_SECONDS)
    (await send(admin, b"slug,name\n")).problem(503, "uploads_busy")
    await asyncio.wait((stalled,))
    stalled.result().problem(408, "upload_stalled")
    assert await ledger.connection.fetchval(_PARTS) == parts


@pytest.mark.parametrize("announced", [True, False])
async def test_an_upload_that_is_too_large_leaves_nothing(admin: Client, ledger: Ledger, announced: bool) -> None:
    parts = await ledger.connection.fetchval(_PARTS)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"slug,name\n"
        for _ in range(MAX_BYTES // 1_000_000 + 1):
            yield b"x" * 1_000_000

    headers = {**CSV, "Content-Length": str(MAX_BYTES + 1)} if announced else CSV
    with suppress(aiohttp.ClientOSError):  # the connection may be closed while there is more to send
        (await send(admin, pieces(), headers)).problem(413, "body_too_large")
    await eventually_seen("none of it", is_count(ledger, _PARTS, parts), within_seconds=SOON_SECONDS)


async def much_to_read(admin: Client) -> None:
    """A catalogue larger than all buffers between the gateway and a reader."""
    long = "x" * DESCRIPTION_MAX_CHARS
    await brought_in(
        admin, sheet({"slug": f"long-{number}", "name": "Long", "description": long} for number in range(1_000))
    )


async def test_a_reader_that_reads_nothing_holds_nothing_for_long(
    system: System, admin: Client, ledger: Ledger
) -> None:
    await much_to_read(admin)
    with socket.create_connection(("127.0.0.1", system.port)) as reader:
        reader.sendall(
            f"GET {API}/exports/products.csv HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {system.token('staff')}\r\n\r\n".encode()
        )
        await eventually_seen("a snapshot held", is_count(ledger, _EXPORTING, 1), within_seconds=SOON_SECONDS)
        (await admin.get("/exports/products.csv")).problem(503, "exports_busy")
        await eventually_seen(
            "nothing held", is_count(ledger, _EXPORTING, 0), within_seconds=STALL_SECONDS + SOON_SECONDS
        )

        async def is_room() -> bool:
            """The gateway frees an export's slot once Postgres has confirmed that its snapshot is released."""
            return (await admin.get("/exports/orders.csv")).status == 200

        await eventually_seen("room for another export", is_room, within_seconds=SOON_SECONDS)
        read, unfinished = b"", b"\r\n0\r\n\r\n"
        while piece := await asyncio.to_thread(reader.recv, 1_000_000):
            read = read[-len(unfinished) :] + piece
    assert not read.endswith(unfinished), "an interrupted file must not look complete"


async def test_a_reader_that_leaves_holds_nothing(system: System, admin: Client, ledger: Ledger) -> None:
    await much_to_read(admin)
    with socket.create_connection(("127.0.0.1", system.port)) as reader:
        reader.sendall(
            f"GET {API}/exports/products.csv HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {system.token('staff')}\r\n\r\n".encode()
        )
        await eventually_seen("a snapshot held", is_count(ledger, _EXPORTING, 1), within_seconds=SOON_SECONDS)
    await eventually_seen("nothing held", is_count(ledger, _EXPORTING, 0), within_seconds=LEAVES_SECONDS)
