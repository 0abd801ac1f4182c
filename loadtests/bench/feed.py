"""The feed: one gateway process and many sockets that receive events, published as a worker publishes them after the
commit; for comparison, the same burst through Node's `ws`.

No worker runs: the events are written and published here, in batches, so that what is measured is the gateway's part.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import psutil

from loadtests.bench.listeners import heard_by, listening, path_of
from loadtests.bench.log import Log, records_from
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import serving
from loadtests.bench.stage import HOST, BenchError, Stage, ending
from loadtests.bench.targets import DELIVERIES, KILOBYTES, MILLISECONDS, SECONDS
from ops import processes
from ops.ports import free_port
from runtime.records import cloud_event

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
            with listening(HOST, port, path_of(self._stage, "log"), SOCKETS, SOCKETS * BURST_EVENTS) as clients:
                idle = (gateway.memory_info().rss - before) / SOCKETS / 1000
                started = time.monotonic()
                for _ in range(BURST_EVENTS // BATCH_EVENTS):
                    log.tell(log.write(BATCH_EVENTS))
                heard = heard_by(clients)
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
            msgspec.json.encode(cloud_event(record, _SOURCE)) + b"\n" for record in records_from(1, NODE_EVENTS)
        )
        node = subprocess.Popen(
            [shutil.which("node") or "node", "broadcast.mjs", str(port)], cwd=folder, stdin=subprocess.PIPE
        )
        assert node.stdin is not None
        try:
            _wait_for_port(port)
            with listening(HOST, port, "/", SOCKETS, SOCKETS * NODE_EVENTS) as clients:
                started = time.monotonic()
                node.stdin.write(lines)
                node.stdin.flush()
                heard = heard_by(clients)
        finally:
            node.stdin.close()
            node.wait(10)
        return [Measured("feed: Node's ws deliveries", SOCKETS * NODE_EVENTS / (heard.at - started), DELIVERIES)]

    def _latency(self) -> list[Measured]:
        turns = round(self._seconds * LATENCY_PER_SECOND / _LATENCY_BATCH_EVENTS)
        expected = turns * _LATENCY_BATCH_EVENTS * LATENCY_SOCKETS
        with (
            self._gateway() as (log, port),
            listening(HOST, port, path_of(self._stage, "log"), LATENCY_SOCKETS, expected) as clients,
        ):
            begun = time.monotonic()
            for turn in range(turns):
                due = begun + turn * _LATENCY_BATCH_EVENTS / LATENCY_PER_SECOND
                time.sleep(max(0.0, due - time.monotonic()))
                log.tell(log.write(_LATENCY_BATCH_EVENTS), committed=time.monotonic())
            waits = sorted(heard_by(clients).waits)
        return [
            Measured(f"feed: commit to socket p{p}", 1000 * waits[len(waits) * p // 100], MILLISECONDS)
            for p in (50, 99)
        ]

    def _resume(self) -> list[Measured]:
        with self._gateway() as (log, port):
            for _ in range(RESUMED_EVENTS // 10_000):
                log.write(10_000)
            started = time.monotonic()
            with listening(HOST, port, path_of(self._stage, "log", after=0), 1, RESUMED_EVENTS) as clients:
                heard = heard_by(clients)
        return [Measured("feed: resume of 100,000 events", heard.at - started, SECONDS)]

    @contextmanager
    def _gateway(self) -> Iterator[tuple[Log, int]]:
        database_url = self._stage.fresh(_DATABASE)
        with (
            serving(self._stage, {"gateway": processes.commands()["gateway"]}, database_url, _SETTINGS) as port,
            Log(database_url, self._stage.valkey.url) as log,
        ):
            yield log, port

    def _node_folder(self) -> Path | None:
        """The folder with Node's program and `ws`, if they are available; tried only once."""
        if self._node is None:
            folder = _install_ws(self._stage.home / "node")
            self._node = [] if folder is None else [folder]
        return self._node[0] if self._node else None


def _process_on(port: int) -> psutil.Process:
    """The process that listens on this port."""
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
    """The baseline's folder, with `ws` installed; None if Node or its registry is not available."""
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
