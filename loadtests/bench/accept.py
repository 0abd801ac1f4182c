"""How fast one gateway process accepts: each 202 an order that is on Valkey's disk, against a bare ASGI app that
answers the same requests on the same uvicorn and does nothing. No worker runs meanwhile.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import cycle
from random import Random
from typing import Final

from loadtests.bench import goods
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import WARM_UP_REQUESTS, Client, gateway_with, serving
from loadtests.bench.stage import BenchError, Stage
from ops import processes

_DATABASE: Final = "bench_http"
_RAW: Final = "loadtests.bench.raw:app"
_ONE_PROCESS: Final = {"TIDEGATE_GATEWAY_PROCESSES": "1"}
# Requests prepared for each second; more than a gateway can take.
_GATEWAY_PER_SECOND: Final = 12_000
# These are sent repeatedly: the bare app does not look at them, and answers more than could be prepared.
_RAW_REQUESTS: Final = 10_000
REQUESTS: Final = "requests/s"


class Accept:
    """Series `accept: gateway` and `accept: raw ASGI`."""

    name = "accept"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._seconds = plan.seconds
        self._random = Random(goods.SEED)

    def titles(self) -> list[str]:
        return ["accept: gateway", "accept: raw ASGI"]

    def measure(self) -> Generator[list[Measured]]:
        yield [Measured("accept: gateway", self._gateway())]
        yield [Measured("accept: raw ASGI", self._raw(), REQUESTS)]

    def _gateway(self) -> float:
        with self._serving(processes.commands()["gateway"]) as client:
            client.load(client.requests(WARM_UP_REQUESTS), 202)
            requests = client.requests(round(self._seconds * _GATEWAY_PER_SECOND))
            accepted = client.load(requests, 202, seconds=self._seconds)
            waiting = self._stage.entries_waiting()
        if waiting != WARM_UP_REQUESTS + accepted.answered:
            raise BenchError(f"{accepted.answered} orders were accepted and {waiting} commands are there")
        return accepted.rate

    def _raw(self) -> float:
        with self._serving(gateway_with(_RAW)) as client:
            client.load(client.requests(WARM_UP_REQUESTS), 202)
            return client.load(cycle(client.requests(_RAW_REQUESTS)), 202, seconds=self._seconds).rate

    @contextmanager
    def _serving(self, command: str) -> Iterator[Client]:
        with serving(self._stage, {"gateway": command}, self._stage.fresh(_DATABASE), _ONE_PROCESS) as port:
            yield Client(self._stage, port, self._random)
