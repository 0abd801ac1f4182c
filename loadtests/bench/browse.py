"""How fast one gateway process serves a cached page of 20 products, against a bare ASGI app that returns as many bytes
on the same uvicorn. Nothing changes meanwhile, and requests have no token.
"""

from __future__ import annotations

import http.client
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import repeat
from random import Random
from typing import Final

from loadtests.bench import goods
from loadtests.bench.accept import REQUESTS
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.raw_page import BODY_BYTES_VARIABLE
from loadtests.bench.served import WARM_UP_REQUESTS, Client, gateway_with, serving
from loadtests.bench.stage import HOST, BenchError, Stage
from loadtests.loadgen import request
from ops import processes

_DATABASE: Final = "bench_http"
_RAW: Final = "loadtests.bench.raw_page:app"
_PAGE: Final = "/api/v1/products?limit=20"
_TIMEOUT_SECONDS: Final = 30.0


class Browse:
    """Series `browse: gateway` and `browse: raw ASGI`."""

    name = "browse"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._seconds = plan.seconds

    def titles(self) -> list[str]:
        return ["browse: gateway", "browse: raw ASGI"]

    def measure(self) -> Generator[list[Measured]]:
        with self._serving(processes.commands()["gateway"]) as (client, port):
            body_bytes = _body_bytes(port)
            yield [Measured("browse: gateway", self._rate(client), REQUESTS)]
        with self._serving(gateway_with(_RAW), body_bytes) as (client, port):
            if _body_bytes(port) != body_bytes:
                raise BenchError("the bare app's page has another size than the gateway's")
            yield [Measured("browse: raw ASGI", self._rate(client), REQUESTS)]

    def _rate(self, client: Client) -> float:
        asked = request("GET", HOST, _PAGE, {"accept": "application/json"})
        client.load(repeat(asked, WARM_UP_REQUESTS), 200)
        return client.load(repeat(asked), 200, seconds=self._seconds).rate

    @contextmanager
    def _serving(self, command: str, body_bytes: int = 0) -> Iterator[tuple[Client, int]]:
        settings = {"TIDEGATE_GATEWAY_PROCESSES": "1", BODY_BYTES_VARIABLE: str(body_bytes)}
        with serving(self._stage, {"gateway": command}, self._stage.fresh(_DATABASE), settings) as port:
            yield Client(self._stage, port, Random(goods.SEED)), port


def _body_bytes(port: int) -> int:
    """The size of the page as it is served there."""
    connection = http.client.HTTPConnection(HOST, port, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", _PAGE)
        return len(connection.getresponse().read())
    finally:
        connection.close()
