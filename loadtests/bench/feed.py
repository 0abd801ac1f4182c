"""The feed: one gateway process and many sockets, told of events as a worker tells of them when they are committed;
beside it, the same burst through Node's `ws`.

No worker runs: the events are written and published here, in batches, so that what is measured is the gateway's part.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import asyncpg
import msgspec
import psutil

from domain.ids import new_id
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import serving
from loadtests.bench.stage import HOST, BenchError, Stage, ending
from loadtests.bench.targets import DELIVERIES, KILOBYTES, MILLISECONDS, SECONDS
from loadtests.feedload import Heard
from ops import processes
from ops.ports import free_port
from runtime.database import asyncpg_dsn
from runtime.feed import EVENTS_CHANNEL, Publisher
from runtime.records import EventRecord, cloud_event, encode, moment
from runtime.signing_keys import key_ring
from runtime.tokens import mint

SOCKETS: Final = 1_000
BURST_EVENTS: Final = 1_000
BATCH_EVENTS: Final = 50
NODE_EVENTS: Final = 300
_SOURCE: Final = "urn:uuid:00000000-0000-0000-0000-000000000000"
LATENCY_SOCKETS: Final = 100
LATENCY_PER_SECOND: Final = 500
_LATENCY_BATCH_EVENTS: Final = 5
RESUMED_EVENTS: Final = 100_000
_DATABASE: Final = "bench_feed"
_TIMEOUT_SECONDS: Final = 120.0
_WS_VERSION: Final = "8.18.3"
_SETTINGS: Final = {
    "TIDEGATE_GATEWAY_PROCESSES": "1",
    "TIDEGATE_SOCKET_MAX_PER_PRINCIPAL": "100000",
}


class Feed:
    """Series `feed: ...`."""

    name = "feed"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._seconds = plan.seconds
        self._node: list[Path] | None = None

    def titles(self) -> list[str]:
        return ["feed: 1,000 sockets", "feed: Node's ws", "feed: commit to socket", "feed: resume 100,000 events"]

    def measure(self) -> Generator[list[Measured]]:
        yield self._burst()
        yield self._node_burst()
        yield self._latency()
        yield self._resume()

    def _burst(self) -> list[Measured]:
        with self._gateway() as (log, port):
            gateway = _process_on(port)
            before = gateway.memory_info().rss
            with _listening(port, self._path("log"), SOCKETS, SOCKETS * BURST_EVENTS) as clients:
                idle = (gateway.memory_info().rss - before) / SOCKETS / 1000
                started = time.monotonic()
                for _ in range(BURST_EVENTS // BATCH_EVENTS):
                    log.tell(log.write(BATCH_EVENTS))
                heard = _result(clients)
        return [
            Measured("feed: deliveries", SOCKETS * BURST_EVENTS / (heard.at - started), DELIVERIES),
            Measured("feed: memory of an idle socket", idle, KILOBYTES),
        ]

    def _node_burst(self) -> list[Measured]:
        folder = self._node_folder()
        if folder is None:
            return []
        port = free_port()
        lines = b"".join(
            msgspec.json.encode(cloud_event(record, _SOURCE)) + b"\n" for record in _records(1, NODE_EVENTS)
        )
        node = subprocess.Popen(
            [shutil.which("node") or "node", "broadcast.mjs", str(port)], cwd=folder, stdin=subprocess.PIPE
        )
        assert node.stdin is not None
        try:
            _wait_for_port(port)
            with _listening(port, "/", SOCKETS, SOCKETS * NODE_EVENTS) as clients:
                started = time.monotonic()
                node.stdin.write(lines)
                node.stdin.flush()
                heard = _result(clients)
        finally:
            node.stdin.close()
            node.wait(10)
        return [Measured("feed: Node's ws deliveries", SOCKETS * NODE_EVENTS / (heard.at - started), DELIVERIES)]

    def _latency(self) -> list[Measured]:
        turns = round(self._seconds * LATENCY_PER_SECOND / _LATENCY_BATCH_EVENTS)
        expected = turns * _LATENCY_BATCH_EVENTS * LATENCY_SOCKETS
        with self._gateway() as (log, port), _listening(port, self._path("log"), LATENCY_SOCKETS, expected) as clients:
            begun = time.monotonic()
            for turn in range(turns):
                due = begun + turn * _LATENCY_BATCH_EVENTS / LATENCY_PER_SECOND
                time.sleep(max(0.0, due - time.monotonic()))
                log.tell(log.write(_LATENCY_BATCH_EVENTS), committed=time.monotonic())
            waits = sorted(_result(clients).waits)
        return [
            Measured(f"feed: commit to socket p{p}", 1000 * waits[len(waits) * p // 100], MILLISECONDS)
            for p in (50, 99)
        ]

    def _resume(self) -> list[Measured]:
        with self._gateway() as (log, port):
            for _ in range(RESUMED_EVENTS // 10_000):
                log.write(10_000)
            started = time.monotonic()
            with _listening(port, self._path("log", after=0), 1, RESUMED_EVENTS) as clients:
                heard = _result(clients)
        return [Measured("feed: resume of 100,000 events", heard.at - started, SECONDS)]

    @contextmanager
    def _gateway(self) -> Iterator[tuple[_Log, int]]:
        database_url = self._stage.fresh(_DATABASE)
        with (
            serving(self._stage, {"gateway": processes.commands()["gateway"]}, database_url, _SETTINGS) as port,
            _Log(database_url, self._stage.valkey.url) as log,
        ):
            yield log, port

    def _path(self, topic: str, after: int | None = None) -> str:
        token = mint(key_ring(self._stage.config), "bench", ["staff"], lifetime_seconds=3_600)
        return f"/ws?topics={topic}&token={quote(token)}" + ("" if after is None else f"&after={after}")

    def _node_folder(self) -> Path | None:
        """Where Node and `ws` are, if they can be had; tried once."""
        if self._node is None:
            folder = _install_ws(self._stage.home / "node")
            self._node = [] if folder is None else [folder]
        return self._node[0] if self._node else None


class _Log:
    """Writes events as a worker would, and publishes them. It runs an event loop of its own."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(asyncpg_dsn(database_url)))
        self._redis_url = redis_url
        self._last: int = self._runner.run(self._connection.fetchval("SELECT last_seq FROM event_counter"))
        self._publisher = self._runner.run(self._connect())

    async def _connect(self) -> Publisher:
        return Publisher(self._redis_url)

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._publisher.close())
        self._runner.run(self._connection.close())
        self._runner.close()

    def write(self, count: int) -> list[EventRecord]:
        """Commits so many events."""
        records = _records(self._last + 1, count)
        self._last += count
        self._runner.run(self._write(records))
        return records

    def tell(self, records: Sequence[EventRecord], *, committed: float | None = None) -> None:
        """Publishes them; with the moment of their commit, if it is given."""
        if committed is not None:
            data = msgspec.Raw(msgspec.json.encode({"committed": committed}))
            records = [msgspec.structs.replace(record, data=data) for record in records]
        self._runner.run(self._publish(encode(records)))

    async def _publish(self, message: str) -> None:
        await self._publisher.publish([(EVENTS_CHANNEL, message)])
        await self._publisher.flush()

    async def _write(self, records: Sequence[EventRecord]) -> None:
        async with self._connection.transaction():
            await self._connection.copy_records_to_table(
                "events",
                records=[
                    (r.seq, r.type, r.subject, r.command_id, r.actor, moment(r.occurred_at), bytes(r.data).decode())
                    for r in records
                ],
                columns=("seq", "type", "subject", "command_id", "actor", "occurred_at", "data"),
            )
            await self._connection.execute("UPDATE event_counter SET last_seq = $1", records[-1].seq)


def _records(first: int, count: int) -> list[EventRecord]:
    """Orders of two lines, as they stand in the log."""
    now_ms = time.time_ns() // 1_000_000
    order_id = new_id(now_ms, first % 4096, first)
    lines = [{"sku": str(1_000_000 + n), "quantity": 2, "unit_price_minor": 250} for n in range(2)]
    said = {"order_id": order_id, "customer_id": "c1", "currency": "GBP", "total_minor": 1000, "lines": lines}
    data = msgspec.Raw(msgspec.json.encode({**said, "email": None}))
    return [
        EventRecord(seq, "order.placed", str(order_id), order_id, "c1", now_ms * 1000, data)
        for seq in range(first, first + count)
    ]


@contextmanager
def _listening(port: int, path: str, sockets: int, expected: int) -> Iterator[subprocess.Popen[bytes]]:
    """So many sockets, in a process of their own; inside, they are all open."""
    command = [sys.executable, "-m", "loadtests.feedload", HOST, str(port), path, str(sockets), str(expected)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as clients:
        assert clients.stdout is not None
        try:
            if clients.stdout.readline() != b"ready\n":
                raise BenchError(f"the sockets could not be opened: {_last_words(clients)}")
            yield clients
        finally:
            clients.kill()


def _result(clients: subprocess.Popen[bytes]) -> Heard:
    try:
        output, said = clients.communicate(timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise BenchError("not every socket was told of every event") from None
    if clients.returncode:
        raise BenchError(f"the process of the sockets did not finish: {ending(clients.returncode, said)}")
    return msgspec.json.decode(output, type=Heard)


def _last_words(clients: subprocess.Popen[bytes]) -> str:
    _, said = clients.communicate(timeout=_TIMEOUT_SECONDS)
    return ending(clients.returncode, said)


def _process_on(port: int) -> psutil.Process:
    """The process that listens there."""
    for connection in psutil.net_connections("tcp"):
        if connection.laddr.port == port and connection.status == psutil.CONN_LISTEN and connection.pid:
            return psutil.Process(connection.pid)
    raise BenchError(f"nobody listens on port {port}")


def _wait_for_port(port: int) -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in psutil.net_connections("tcp")):
            return
        time.sleep(0.02)
    raise BenchError(f"nobody listens on port {port}")


def _install_ws(folder: Path) -> Path | None:
    """The baseline's folder, with `ws` installed; None where Node or its registry cannot be had."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        sys.stderr.write("Node is missing: the feed is measured without its baseline\n")
        return None
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(__file__).parent / "broadcast.mjs", folder)
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    done = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", f"ws@{_WS_VERSION}"], cwd=folder, capture_output=True, check=False
    )
    if done.returncode:
        why = ending(done.returncode, done.stderr)
        sys.stderr.write(f"`ws` cannot be installed: the feed is measured without its baseline ({why})\n")
        return None
    return folder
