"""What the sections over HTTP share: the load client, the processes, and the checks of a load's results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from math import inf
from random import Random
from typing import Final

from loadtests import loadgen
from loadtests.bench import goods
from loadtests.bench.goods import Purchase
from loadtests.bench.stage import HOST, BenchError, Stage
from loadtests.loadgen import LoadResult
from ops import processes
from runtime.signing_keys import key_ring

CONNECTIONS: Final = 64
WARM_UP_REQUESTS: Final = 500


def gateway_with(app: str) -> str:
    """The Procfile's gateway, options and all, but serving another app."""
    return f"{processes.commands()[processes.GATEWAY]} {app}"


class Client:
    """Sends orders to one app, each once; by default, spread ones of two lines."""

    def __init__(self, stage: Stage, port: int, random: Random, *, wait_seconds: int = 0) -> None:
        self._stage = stage
        self._port = port
        self._purchases = goods.two_lines(random, goods.SPREAD_SKUS)
        self._wait_seconds = wait_seconds

    def requests(self, count: int, purchases: Iterable[Purchase] | None = None) -> list[bytes]:
        keys = key_ring(self._stage.config)
        chosen = islice(purchases or self._purchases, count)
        return goods.requests(chosen, HOST, keys, wait_seconds=self._wait_seconds)

    def load(
        self, requests: Iterable[bytes], *statuses: int, connections: int = CONNECTIONS, seconds: float = inf
    ) -> LoadResult:
        """Sends the requests, or as many as possible in `seconds`. Every answer must have one of the statuses, and each
        status must occur."""
        result = loadgen.run(HOST, self._port, requests, connections=connections, seconds=seconds)
        if result.failed or set(result.statuses) != set(statuses):
            wanted = " and ".join(map(str, statuses))
            raise BenchError(f"wanted status {wanted} alone, got {result.statuses} and {result.failed} failed")
        return result


@contextmanager
def serving(
    stage: Stage, commands: Mapping[str, str], database_url: str, settings: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Runs the processes and yields the port when one of them answers on it."""
    with stage.running(commands, database_url, settings) as port:
        stage.wait_until_serving(port)
        yield port
