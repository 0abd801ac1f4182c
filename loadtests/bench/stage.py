"""The environment of the benchmarks: one embedded Postgres and one embedded Valkey, as durable as in production, and
for each measurement a fresh database, an empty Valkey and only the processes that it needs.

Every side starts from the same state: the same tables and goods, empty mailboxes, and a recent checkpoint. What is
measured, and how, is left to the sections.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self

import asyncpg
from redis.asyncio import Redis

from loadtests.baskets import Invoices
from loadtests.bench import goods
from loadtests.bench.goods import Entry
from ops import processes
from ops.embedded.postgres import PostgresServer
from ops.embedded.valkey import ValkeyServer
from ops.ports import free_port
from ops.processes import ProcessError, Processes
from ops.verify import verify
from runtime import migrations
from runtime.activation import ActivationBroker, activate
from runtime.envelope import ENVELOPE_FIELD, SCHEMA_VERSION, VERSION_FIELD
from runtime.mailboxes.redis_keys import stream_key
from runtime.redis_client import connect
from runtime.settings import Settings

HOST: Final = "127.0.0.1"
READY_TIMEOUT_SECONDS: Final = 30.0
DRAIN_TIMEOUT_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.01
_LAST_LINES: Final = 5
_FILL_PIPELINE_COMMANDS: Final = 2_000
_TEMPLATE: Final = "bench_template"
_ENTRIES_APPLIED: Final = "SELECT coalesce(sum(entries), 0)::bigint AS entries FROM mailboxes"


class BenchError(Exception):
    """A measurement did not do what it was supposed to measure, so its number would be worthless."""


def ending(returncode: int, said: bytes) -> str:
    """How a process ended, and the last lines it said on standard error."""
    how = signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
    lines = said.decode(errors="replace").strip().splitlines()[-_LAST_LINES:]
    return "; ".join([how, *lines])


class Stage:
    """The two servers, and the template of all databases. A context manager."""

    def __init__(self, home: Path, config: Settings, invoices: Invoices) -> None:
        self.home = home
        self.config = config
        self.invoices = invoices
        self.postgres = PostgresServer(home)
        self.valkey = ValkeyServer(home)
        self._running = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as running:
            for server in (self.postgres, self.valkey):
                server.start()
                running.callback(server.stop)
            self._make_template()
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def fresh(self, database: str) -> str:
        """The URL of a new database of that name, in place of any earlier one."""
        self.postgres.psql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.postgres.psql(f"CREATE DATABASE {database} TEMPLATE {_TEMPLATE}")
        return self.again(database)

    def again(self, database: str) -> str:
        """The URL of an existing database with its content; its mailboxes are reset, and a checkpoint is made."""
        self.postgres.psql("TRUNCATE mailboxes", database)
        asyncio.run(self._empty_valkey())
        self.postgres.psql("CHECKPOINT")
        return self.postgres.url_of(database)

    def verify(self, database_url: str) -> None:
        """Runs `tidegate verify`, and raises BenchError unless it is clean."""
        report = asyncio.run(verify(database_url, self.valkey.url, mailbox_count=self.config.mailbox_count))
        if not report.clean:
            raise BenchError(f"verify found differences: {report.differences[:3]}")

    @contextmanager
    def running(
        self, commands: Mapping[str, str], database_url: str, settings: Mapping[str, str] | None = None
    ) -> Iterator[int]:
        """Runs processes, Procfile lines by name, on a database, and yields the port for one of them to serve on."""
        port = free_port()
        environment = processes.environment(
            {**os.environ, **(settings or {})},
            database_url=database_url,
            redis_url=self.valkey.url,
            host=HOST,
            port=port,
            home=self.home,
        )
        running = Processes(self.home, environment)
        try:
            for name, command in commands.items():
                with (self.home / f"{name}.log").open("ab") as log:
                    running.start(name, command, log)
            yield port
            if (ended := running.ended()) is not None:
                said = (self.home / f"{ended.name}.log").read_bytes()
                raise BenchError(f"{ended.name} ended by itself: {ending(ended.returncode or 0, said)}")
        finally:
            running.stop()

    def wait_until_serving(self, port: int, host: str = HOST) -> None:
        """Returns when whatever serves on `port` answers a request, with any status."""
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            connection = http.client.HTTPConnection(host, port, timeout=READY_TIMEOUT_SECONDS)
            try:
                connection.request("GET", "/health/ready")
                if connection.getresponse().status != http.client.SERVICE_UNAVAILABLE:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(_POLL_SECONDS)
        raise ProcessError(f"nothing served on port {port} within {READY_TIMEOUT_SECONDS:.0f} s")

    def fill(self, entries: Sequence[Entry]) -> None:
        """Posts commands to the mailboxes and requests their draining, before any worker runs."""
        asyncio.run(self._fill(entries))

    def wait_until_applied(self, database_url: str, entries: int) -> float:
        """Waits until this many mailbox entries have been applied in all; returns when (Unix time, seconds)."""
        return asyncio.run(_wait_until_applied(database_url, entries))

    def check_orders(self, database_url: str, expected: int) -> None:
        """Raises BenchError unless a database that was fresh has this many orders: rejected ones are applied, too, but
        cost less."""
        orders = self.row(database_url, "SELECT count(*) FROM orders")["count"]
        if orders != expected:
            raise BenchError(f"{expected} orders were to be placed and {orders} are there")

    def entries_waiting(self) -> int:
        """How many commands the mailboxes hold."""
        return asyncio.run(self._entries_waiting())

    def entries_applied(self, database_url: str) -> int:
        """How many mailbox entries have been applied in all."""
        return int(self.row(database_url, _ENTRIES_APPLIED)["entries"])

    def row(self, database_url: str, query: str, *arguments: object) -> Mapping[str, Any]:
        """The one row of a query's answer."""
        return asyncio.run(_row(database_url, query, *arguments))

    def _make_template(self) -> None:
        """Creates the template database. Goods are added through mailboxes and a worker, so that the log explains every
        row."""
        self.postgres.psql(f"CREATE DATABASE {_TEMPLATE}")
        url = self.postgres.url_of(_TEMPLATE)
        migrations.upgrade(url)
        articles = [*goods.products(), *self.invoices.products]
        listings = goods.listings(articles, self.config.mailbox_count)
        listings += goods.listings([goods.sold_out()], self.config.mailbox_count, pieces=0)
        self.fill(listings)
        with self.running(worker(), url, ONE_WORKER):
            self.wait_until_applied(url, len(listings))
        on_sale = self.row(url, "SELECT count(*) FROM variants WHERE on_sale")["count"]
        if on_sale != len(listings):
            raise BenchError(f"{on_sale} of {len(listings)} articles are on sale")
        # The sides whose events take their numbers from a sequence continue the log from here.
        self.postgres.psql("CREATE SEQUENCE event_seq", _TEMPLATE)
        self.postgres.psql("SELECT setval('event_seq', last_seq) FROM event_counter", _TEMPLATE)
        self.postgres.psql("VACUUM ANALYZE", _TEMPLATE)

    async def _empty_valkey(self) -> None:
        async with connect(self.valkey.url) as client:
            await client.flushall()

    async def _entries_waiting(self) -> int:
        async with connect(self.valkey.url) as client:
            return sum([await client.xlen(stream_key(mailbox)) for mailbox in range(self.config.mailbox_count)])

    async def _fill(self, entries: Sequence[Entry]) -> None:
        async with connect(self.valkey.url) as client:
            for start in range(0, len(entries), _FILL_PIPELINE_COMMANDS):
                await _post(client, entries[start : start + _FILL_PIPELINE_COMMANDS])
        broker = ActivationBroker(self.valkey.url)
        await broker.startup()
        for mailbox in sorted({entry.mailbox for entry in entries}):
            await activate(broker, mailbox)
        await broker.shutdown()


ONE_WORKER: Final[Mapping[str, str]] = {"TIDEGATE_WORKER_PROCESSES": "1"}


def worker() -> dict[str, str]:
    """The Procfile's worker alone: without a scheduler there is no sweep, so `fill` wakes the mailboxes."""
    return {"worker": processes.commands()["worker"]}


async def _post(client: Redis, entries: Iterable[Entry]) -> None:
    pipeline = client.pipeline(transaction=False)
    for mailbox, encoded in entries:
        pipeline.xadd(stream_key(mailbox), {VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: encoded})
    await pipeline.execute()


async def _wait_until_applied(database_url: str, entries: int) -> float:
    connection = await asyncpg.connect(database_url)
    try:
        deadline = time.monotonic() + DRAIN_TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            applied = await connection.fetchval(_ENTRIES_APPLIED)
            now = time.time()
            if applied >= entries:
                return now
            await asyncio.sleep(_POLL_SECONDS)
        raise BenchError(f"{applied} of {entries} commands were applied within {DRAIN_TIMEOUT_SECONDS:.0f} s")
    finally:
        await connection.close()


async def _row(database_url: str, query: str, *arguments: object) -> Mapping[str, Any]:
    connection = await asyncpg.connect(database_url)
    try:
        row = await connection.fetchrow(query, *arguments)
        assert row is not None, "the query has no answer"
        return dict(row)
    finally:
        await connection.close()
