"""Orders from HTTP to commit, with the load generator on the same machine: Tidegate against the handler that does
everything.

Tidegate's clock stops when the last order it accepted is seen applied; the baseline answers 201 after its commit, so
its clock stops with its last answer. The baseline gets the gateway's own uvicorn options, and the better of one and
two processes, since it uses the cores that Tidegate's workers have.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from random import Random
from typing import Final

from loadtests.bench import goods
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import WARM_UP_REQUESTS, Client, gateway_with, serving
from loadtests.bench.stage import Stage
from ops import processes

BASELINE_PROCESSES: Final = (1, 2)

_DATABASE: Final = "bench_http"
BASELINE: Final = "loadtests.bench.baseline:create_app"
# Requests prepared for each second; a faster system runs out early, and is measured all the same.
_TIDEGATE_PER_SECOND: Final = 8_000
_BASELINE_PER_SECOND: Final = 2_000


class EndToEnd:
    """Series `end to end: tidegate` and `end to end: baseline, N processes`."""

    name = "end-to-end"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._seconds = plan.seconds
        self._random = Random(goods.SEED)

    def titles(self) -> list[str]:
        return ["end to end: tidegate", *(_baseline_title(count) for count in BASELINE_PROCESSES)]

    def measure(self) -> Generator[list[Measured]]:
        yield [Measured("end to end: tidegate", self._tidegate())]
        for count in BASELINE_PROCESSES:
            yield [Measured(_baseline_title(count), self._baseline(count))]

    def _tidegate(self) -> float:
        database_url = self._stage.fresh(_DATABASE)
        already = self._stage.entries_applied(database_url)
        with serving(self._stage, processes.commands(), database_url) as port:
            client = Client(self._stage, port, self._random)
            already += client.load(client.requests(WARM_UP_REQUESTS), 202).answered
            self._stage.wait_until_applied(database_url, already)
            requests = client.requests(round(self._seconds * _TIDEGATE_PER_SECOND))
            started = time.time()
            accepted = client.load(requests, 202, seconds=self._seconds).answered
            ended = self._stage.wait_until_applied(database_url, already + accepted)
        self._stage.check_orders(database_url, WARM_UP_REQUESTS + accepted)
        self._stage.verify(database_url)
        return accepted / (ended - started)

    def _baseline(self, process_count: int) -> float:
        database_url = self._stage.fresh(_DATABASE)
        settings = {"TIDEGATE_GATEWAY_PROCESSES": str(process_count)}
        with serving(self._stage, {"baseline": gateway_with(BASELINE)}, database_url, settings) as port:
            client = Client(self._stage, port, self._random)
            client.load(client.requests(WARM_UP_REQUESTS), 201)
            requests = client.requests(round(self._seconds * _BASELINE_PER_SECOND))
            placed = client.load(requests, 201, seconds=self._seconds)
        self._stage.check_orders(database_url, WARM_UP_REQUESTS + placed.answered)
        return placed.rate


def _baseline_title(process_count: int) -> str:
    return f"end to end: baseline, {process_count} process{'es' if process_count > 1 else ''}"
