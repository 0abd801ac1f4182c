"""Locust: customers who place the real baskets over HTTP, look at their orders, and sometimes think better of it.

    locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 [--headless -u 50 -r 10 -t 1m]

or `make load`, which brings its own system. Before the first customer comes, staff receive stock for all baskets,
`--rounds` times over; when the last has left, `verify` looks at everything, and a difference is a failed run. It needs
the settings (environment) that the system runs with, to mint tokens and to list the products.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

import asyncpg
import msgspec
import uvloop
from locust import FastHttpUser, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.runners import WorkerRunner

from loadtests import baskets
from loadtests.baskets import Basket, Invoices
from loadtests.replay.client import Client
from loadtests.replay.shop import Replay
from runtime.database import asyncpg_dsn
from runtime.keys import key_ring
from runtime.mailboxes.sender import Sender
from runtime.settings import settings
from runtime.tokens import mint
from runtime.verify import Report, verify

WAIT_SECONDS: Final = 5
TOKEN_LIFETIME_SECONDS: Final = 86_400
RECEIPTS_AT_A_TIME: Final = 32
REMEMBERED_ORDERS: Final = 20

# What the API may answer to an order that is well-formed: placed, or not enough left.
_SETTLED: Final = (201, 409)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Customer(FastHttpUser):
    """Someone with a real customer's baskets."""

    wait_time = between(0.0, 0.2)

    def on_start(self) -> None:
        self._baskets = random.choice(_baskets_by_customer())
        customer_id = self._baskets[0].customer_id
        token = mint(key_ring(settings()), customer_id, ["customer"], lifetime_seconds=TOKEN_LIFETIME_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._orders: list[str] = []

    @task(10)
    def place(self) -> None:
        """An order, accepted and not waited for."""
        headers = {**self._headers, "Idempotency-Key": _key()}
        with self.client.post("/api/v1/orders", self._order(), headers=headers, catch_response=True) as response:
            if response.status_code == 202:
                self._remember(response.json()["id"])
                response.success()
            else:
                response.failure(f"wanted 202, got {response.status_code}")

    @task(5)
    def place_and_wait(self) -> None:
        """An order whose outcome the customer wants to see."""
        headers = {**self._headers, "Idempotency-Key": _key(), "Prefer": f"wait={WAIT_SECONDS}"}
        name = "/api/v1/orders, Prefer: wait"
        with self.client.post(
            "/api/v1/orders", self._order(), headers=headers, name=name, catch_response=True
        ) as response:
            if response.status_code in _SETTLED:
                response.success()
            else:
                response.failure(f"wanted one of {_SETTLED}, got {response.status_code}")
            if response.status_code == 201:
                self._remember(response.json()["id"])

    @task(3)
    def look_at_orders(self) -> None:
        self.client.get("/api/v1/orders?limit=10", headers=self._headers, name="/api/v1/orders")

    @task(1)
    def browse(self) -> None:
        self.client.get("/api/v1/products?limit=50", headers=self._headers, name="/api/v1/products")

    @task(1)
    def think_better_of_it(self) -> None:
        """Cancels an order; commands about one order apply in order, so it may still be on its way."""
        if self._orders:
            order_id = self._orders.pop(random.randrange(len(self._orders)))
            path, name = f"/api/v1/orders/{order_id}/cancel", "/api/v1/orders/{id}/cancel"
            self.client.post(path, headers={**self._headers, "Idempotency-Key": _key()}, name=name)

    def _order(self) -> str:
        lines = random.choice(self._baskets).lines
        body = {"lines": [{"sku": wanted.sku, "quantity": wanted.quantity} for wanted in lines]}
        return msgspec.json.encode(body).decode()

    def _remember(self, order_id: str) -> None:
        self._orders = [*self._orders, order_id][-REMEMBERED_ORDERS:]


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]  # Locust has no types there
def _add_options(parser: LocustArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=10, help="Receive stock for all baskets this many times over")


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust has no types there
def _open_the_shop(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    if isinstance(environment.runner, WorkerRunner):
        return  # the master has done so
    assert options.host, "say which --host"
    _run(_receive_stock(options.host, options.rounds))


@events.quitting.add_listener  # type: ignore[untyped-decorator]  # Locust has no types there
def _verify(environment: Environment, **_: Any) -> None:
    if isinstance(environment.runner, WorkerRunner):
        return
    config = settings()
    report: Report = _run(verify(config.database_url, config.redis_url, mailbox_count=config.mailbox_count))
    if report.clean:
        _log.info("verify is clean: %s", report.counts)
    else:
        _log.error("verify found differences: %s", report.differences)
        environment.process_exit_code = 1


async def _receive_stock(url: str, rounds: int) -> None:
    config = settings()
    pieces = {sku: quantity * rounds for sku, quantity in baskets.demand(_invoices().baskets).items()}
    async with (
        asyncpg.create_pool(asyncpg_dsn(config.database_url), min_size=0, max_size=1) as pool,
        Client(url, key_ring(config), connections=RECEIPTS_AT_A_TIME) as client,
        Sender(config) as sender,
    ):
        replay = Replay(client, sender, pool, concurrency=RECEIPTS_AT_A_TIME)
        await replay.load_products(_invoices().products)
        await replay.receive(pieces, lambda: None)


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs asyncio code to its end while no customer is about. uvloop, because gevent has replaced what the standard
    event loop is made of."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def _key() -> str:
    return f"locust-{random.getrandbits(64):016x}"


@lru_cache(maxsize=1)
def _invoices() -> Invoices:
    return baskets.read()


@lru_cache(maxsize=1)
def _baskets_by_customer() -> Sequence[Sequence[Basket]]:
    found: dict[str, list[Basket]] = {}
    for basket in _invoices().baskets:
        found.setdefault(basket.customer_id, []).append(basket)
    return list(found.values())
