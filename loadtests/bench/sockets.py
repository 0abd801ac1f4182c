"""Very many idle sockets on one machine: `--sockets N` opens them to several gateway processes, each at its own
loopback address, because the descriptors of a process and the ports between two addresses are limited.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import ExitStack
from typing import Final

import psutil

from loadtests.bench.listeners import heard_by, listening, path_of
from loadtests.bench.log import Log
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.stage import Stage
from loadtests.bench.targets import KILOBYTES, SECONDS
from ops import processes

SOCKETS: Final = 50_000
_PER_GATEWAY: Final = 12_500
_DATABASE: Final = "bench_sockets"
_SETTINGS: Final = {
    "TIDEGATE_GATEWAY_PROCESSES": "1",
    "TIDEGATE_SOCKET_MAX_CONNECTIONS": "20000",
    "TIDEGATE_SOCKET_MAX_PER_PRINCIPAL": "20000",
    "TIDEGATE_CONNECTIONS_MAX": "20000",
    "TIDEGATE_CONNECTIONS_MAX_PER_ADDRESS": "20000",
}


def to_the_last(sockets: int) -> str:
    """The name of the series with the time from an event's commit until the last socket has it."""
    return f"sockets: an event to the last of {sockets:,}"


def memory(sockets: int) -> str:
    """The name of the series with a gateway's memory for each socket."""
    return f"sockets: memory of each of {sockets:,}"


class Sockets:
    """Series `sockets: ...`."""

    name = "sockets"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._count = plan.sockets

    def titles(self) -> list[str]:
        return [f"{self._count:,} idle sockets"]

    def measure(self) -> Generator[list[Measured]]:
        stage, gateways = self._stage, math.ceil(self._count / _PER_GATEWAY)
        hosts = [f"127.0.0.{number}" for number in range(1, gateways + 1)]
        command = processes.commands()[processes.GATEWAY]
        commands = {f"gateway-{host}": f"TIDEGATE_HOST={host}; {command}" for host in hosts}
        database_url = stage.fresh(_DATABASE)
        with ExitStack() as running:
            port = running.enter_context(stage.running(commands, database_url, _SETTINGS))
            for host in hosts:
                stage.wait_until_serving(port, host)
            before = _memory(port)
            crowds = [
                running.enter_context(listening(host, port, path_of(stage, "log"), size, size))
                for host, size in zip(hosts, _shares(self._count, gateways), strict=True)
            ]
            each = (_memory(port) - before) / self._count / 1000
            log = running.enter_context(Log(database_url, stage.valkey.url))
            records = log.write(1)
            committed = time.monotonic()
            log.tell(records)
            last = max(heard_by(crowd).at for crowd in crowds)
            yield [
                Measured(to_the_last(self._count), last - committed, SECONDS),
                Measured(memory(self._count), each, KILOBYTES),
            ]


def _shares(count: int, among: int) -> list[int]:
    return [count // among + (place < count % among) for place in range(among)]


def _memory(port: int) -> int:
    """The memory of all processes that listen on this port, in bytes."""
    listening_there = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.laddr and each.laddr.port == port and each.status == psutil.CONN_LISTEN and each.pid
    }
    return sum(psutil.Process(pid).memory_info().rss for pid in listening_there)
