"""Clients that wait for each answer, a few or many of them: this is what shoppers do, and the load at which batches are
small.

Requests to Tidegate have `Prefer: wait`; the handler that does everything answers after its commit. Both are loaded by
the same number of connections, each with one order in flight. Besides rates and latencies, the CPU time per order is
measured, of all processes that serve it and no others.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from random import Random
from typing import Final, NamedTuple

from loadtests.bench import goods
from loadtests.bench.apply import SOLD_OUT_EVERY
from loadtests.bench.cpu import cpu_an_order, cpu_seconds
from loadtests.bench.end_to_end import BASELINE, BASELINE_PROCESSES
from loadtests.bench.goods import Purchase
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import Client, gateway_with, serving
from loadtests.bench.stage import BenchError, Stage
from loadtests.bench.targets import MILLISECONDS
from loadtests.loadgen import LoadResult
from ops import processes

_DATABASE: Final = "bench_http"
_WAIT_SECONDS: Final = 30
_WARM_UP_ORDERS: Final = 300
_ORDERS_PER_SECOND: Final = 4_000  # prepared; a faster system runs out early
_BASKETS_PER_SECOND: Final = 600

PLAIN: Final = ""
SOLD_OUT: Final = ", one in 10 sold out"
BASKETS: Final = ", real baskets"


class Load(NamedTuple):
    """A number of clients, each of which waits for an answer before it sends the next order of this kind."""

    clients: int
    kind: str = PLAIN

    def __str__(self) -> str:
        return f"{self.clients}{self.kind}"


LOADS: Final = (
    *(Load(clients) for clients in (1, 16, 64, 256)),
    *(Load(clients, kind) for kind in (SOLD_OUT, BASKETS) for clients in (16, 64)),
)


class Waiting:
    """Series `waiting LOAD: SIDE` (orders/s), `p50 of LOAD: SIDE`, `p99 of LOAD: SIDE` and `CPU an order, LOAD: SIDE`;
    and `CPU an order, full mailboxes`, for which nobody waits."""

    name = "waiting"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._seconds = plan.seconds
        self._random = Random(goods.SEED)
        self._baskets = goods.real(stage.invoices)

    def titles(self) -> list[str]:
        sides = ["tidegate", *(_baseline(count) for count in BASELINE_PROCESSES)]
        return [*(f"waiting clients: {side}" for side in sides), "nobody waits: tidegate"]

    def measure(self) -> Generator[list[Measured]]:
        yield self._measure("tidegate", processes.commands(), None, _WAIT_SECONDS)
        for count in BASELINE_PROCESSES:
            settings = {"TIDEGATE_GATEWAY_PROCESSES": str(count)}
            yield self._measure(_baseline(count), {"baseline": gateway_with(BASELINE)}, settings, 0)
        yield [self._full_mailboxes()]

    def _measure(
        self, side: str, commands: Mapping[str, str], settings: Mapping[str, str] | None, wait_seconds: int
    ) -> list[Measured]:
        measured = []
        with serving(self._stage, commands, self._stage.fresh(_DATABASE), settings) as port:
            client = Client(self._stage, port, self._random, wait_seconds=wait_seconds)
            client.load(client.requests(_WARM_UP_ORDERS), 201, connections=16)
            for load in LOADS:
                per_second = _BASKETS_PER_SECOND if load.kind == BASKETS else _ORDERS_PER_SECOND
                requests = client.requests(round(self._seconds * per_second), self._purchases(load.kind))
                statuses = (201, 409) if load.kind == SOLD_OUT else (201,)
                before = cpu_seconds()
                result = client.load(requests, *statuses, connections=load.clients, seconds=self._seconds)
                if load.kind == SOLD_OUT:
                    check_refused(result)
                measured += [
                    Measured(f"waiting {load}: {side}", result.rate),
                    *(Measured(f"p{p} of {load}: {side}", result.percentile_ms(p), MILLISECONDS) for p in (50, 99)),
                    cpu_an_order(f"{load}: {side}", before, result.answered),
                ]
        return measured

    def _purchases(self, kind: str) -> Iterator[Purchase]:
        if kind == BASKETS:
            return self._baskets
        purchases = goods.two_lines(self._random, goods.SPREAD_SKUS)
        return goods.partly_sold_out(purchases, SOLD_OUT_EVERY) if kind == SOLD_OUT else purchases

    def _full_mailboxes(self) -> Measured:
        database_url = self._stage.fresh(_DATABASE)
        already = self._stage.entries_applied(database_url)
        with serving(self._stage, processes.commands(), database_url) as port:
            client = Client(self._stage, port, self._random)
            already += client.load(client.requests(_WARM_UP_ORDERS), 202).answered
            self._stage.wait_until_applied(database_url, already)
            requests = client.requests(round(self._seconds * _ORDERS_PER_SECOND))
            before = cpu_seconds()
            accepted = client.load(requests, 202, seconds=self._seconds).answered
            self._stage.wait_until_applied(database_url, already + accepted)
            measured = cpu_an_order("full mailboxes", before, accepted)
        self._stage.check_orders(database_url, _WARM_UP_ORDERS + accepted)
        return measured


def check_refused(result: LoadResult) -> None:
    """Raises BenchError unless one of SOLD_OUT_EVERY orders was refused, the first among them."""
    refused, expected = result.statuses.get(409, 0), -(-result.answered // SOLD_OUT_EVERY)
    if refused != expected:
        raise BenchError(f"{refused} of {result.answered} orders were refused, and {expected} should have been")


def _baseline(process_count: int) -> str:
    return f"baseline, {process_count} process{'es' if process_count > 1 else ''}"
