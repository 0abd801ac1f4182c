"""What Tidegate spends on monitoring itself: metrics, as the CPU time of the same work with and without them; and the
patrol, as the share of a core that a background process takes while orders come in, with and without it.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final

from loadtests.bench import goods
from loadtests.bench.cpu import cpu_sum
from loadtests.bench.goods import Purchase
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import WARM_UP_REQUESTS, Client, serving
from loadtests.bench.stage import ONE_WORKER, BenchError, Stage, worker
from loadtests.bench.targets import MILLISECONDS, PERCENT_OF_A_CORE
from ops import processes

ORDERS_PER_SECOND: Final = 500

_DATABASE: Final = "bench_costs"
UNCOUNTED: Final = str(Path(__file__).parent / "uncounted")
_ONE_GATEWAY: Final = {"TIDEGATE_GATEWAY_PROCESSES": "1"}
_BACKGROUND: Final = "background"
_CATCHES_UP_AT_ONCE: Final = {"TIDEGATE_VERIFY_CATCH_UP_PERCENT": "100"}
_NEVER: Final = {"TIDEGATE_VERIFY_EVERY_SECONDS": "3600"}
_PATROL_SECONDS: Final = 5  # so many times as long as a rate is measured: rounds are four seconds apart
_SLICES_PER_SECOND: Final = 10
_VERIFIED_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.1


class Costs:
    """Series `costs: CPU of an order WHAT, SIDE` and `costs: patrol, SHAPE`."""

    name = "costs"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._plan = plan
        self._random = Random(goods.SEED)
        self._shapes: Mapping[str, Iterator[Purchase]] = {
            "two lines": goods.two_lines(self._random, goods.SPREAD_SKUS),
            "real baskets": goods.real(stage.invoices),
        }

    def titles(self) -> list[str]:
        return ["metrics: applied", "metrics: accepted", *(f"patrol: {shape}" for shape in self._shapes)]

    def measure(self) -> Generator[list[Measured]]:
        sides = {"counted": {}, "uncounted": {"PYTHONPATH": UNCOUNTED}}
        for what, spent in (("applied", self._applied), ("accepted", self._accepted)):
            yield [
                Measured(f"costs: CPU of an order {what}, {side}", 1_000 * spent(settings), MILLISECONDS)
                for side, settings in sides.items()
            ]
        for shape, purchases in self._shapes.items():
            patrolling, resting = (self._background(purchases, settings) for settings in ({}, _NEVER))
            yield [Measured(f"costs: patrol, {shape}", 100 * (patrolling - resting), PERCENT_OF_A_CORE)]

    def _applied(self, settings: Mapping[str, str]) -> float:
        """The CPU seconds that a worker takes per order."""
        stage, count = self._stage, self._plan.apply_orders
        database_url = stage.fresh(_DATABASE)
        already = stage.entries_applied(database_url)
        stage.fill(goods.entries(islice(self._shapes["two lines"], count), stage.config.mailbox_count))
        with stage.running(worker(), database_url, {**ONE_WORKER, **settings}):
            stage.wait_until_applied(database_url, already + count)
            spent = cpu_sum("workers.app")
        stage.check_orders(database_url, count)
        return spent / count

    def _accepted(self, settings: Mapping[str, str]) -> float:
        """The CPU seconds that a gateway takes per order."""
        command, database_url = processes.commands()[processes.GATEWAY], self._stage.fresh(_DATABASE)
        with serving(self._stage, {"gateway": command}, database_url, {**_ONE_GATEWAY, **settings}) as port:
            client = Client(self._stage, port, self._random)
            client.load(client.requests(WARM_UP_REQUESTS), 202)
            requests = client.requests(self._plan.apply_orders // 2)
            before = cpu_sum("gateway")
            client.load(requests, 202)
            return (cpu_sum("gateway") - before) / len(requests)

    def _background(self, purchases: Iterator[Purchase], settings: Mapping[str, str]) -> float:
        """The share of a core that a background process takes while orders are applied."""
        stage, seconds = self._stage, self._plan.seconds * _PATROL_SECONDS
        database_url = stage.fresh(_DATABASE)
        already = stage.entries_applied(database_url)
        count = round(seconds * ORDERS_PER_SECOND)
        entries = goods.entries(islice(purchases, count), stage.config.mailbox_count)
        commands = worker() | {_BACKGROUND: processes.commands()[_BACKGROUND]}
        with stage.running(commands, database_url, {**ONE_WORKER, **_CATCHES_UP_AT_ONCE, **settings}):
            _wait_until_verified(stage, database_url)
            before, begun = cpu_sum(_BACKGROUND), time.monotonic()
            each = max(1, ORDERS_PER_SECOND // _SLICES_PER_SECOND)
            for number, start in enumerate(range(0, count, each)):
                time.sleep(max(0.0, begun + number / _SLICES_PER_SECOND - time.monotonic()))
                stage.fill(entries[start : start + each])
            stage.wait_until_applied(database_url, already + count)
            share = (cpu_sum(_BACKGROUND) - before) / (time.monotonic() - begun)
        stage.check_orders(database_url, count)
        return share


def _wait_until_verified(stage: Stage, database_url: str) -> None:
    """Waits until the goods are verified, so that this does not count towards the cost of orders."""
    deadline = time.monotonic() + _VERIFIED_SECONDS
    while time.monotonic() < deadline:
        if stage.row(database_url, "SELECT balances_seq = last_seq AS done FROM fold_position, event_counter")["done"]:
            return
        time.sleep(_POLL_SECONDS)
    raise BenchError(f"the goods were not verified within {_VERIFIED_SECONDS:.0f} s")
