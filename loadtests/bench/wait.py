"""How long one customer waits for an order, placed with `Prefer: wait` on an otherwise idle system; and how long one
client of Postgres takes for the same statements in a transaction, with a gapless log.
"""

from __future__ import annotations

from collections.abc import Generator
from random import Random
from typing import Final

from loadtests.bench import goods
from loadtests.bench.pgbench import GAPLESS, Pgbench
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import Client, serving
from loadtests.bench.stage import Stage
from loadtests.bench.targets import MILLISECONDS
from ops import processes

_DATABASE: Final = "bench_http"
_WAIT_SECONDS: Final = 10
_WARM_UP_ORDERS: Final = 50


class Wait:
    """Series `wait: p50` and `wait: p99`, in milliseconds, of orders placed one after the other; `wait: pgbench`, the
    mean of one pgbench client."""

    name = "wait"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._orders = plan.waits
        self._seconds = plan.seconds
        self._pgbench = Pgbench(stage, plan)
        self._random = Random(goods.SEED)

    def titles(self) -> list[str]:
        return ["wait: one order at a time", "wait: one pgbench client"]

    def measure(self) -> Generator[list[Measured]]:
        database_url = self._stage.fresh(_DATABASE)
        with serving(self._stage, processes.commands(), database_url) as port:
            client = Client(self._stage, port, self._random, wait_seconds=_WAIT_SECONDS)
            client.load(client.requests(_WARM_UP_ORDERS), 201, connections=1)
            result = client.load(client.requests(self._orders), 201, connections=1)
        yield [Measured(f"wait: p{p}", result.percentile_ms(p), MILLISECONDS) for p in (50, 99)]
        rate = self._pgbench.rate("spread", GAPLESS, 1, self._seconds)
        yield [Measured("wait: pgbench", 1000 / rate, MILLISECONDS)]
