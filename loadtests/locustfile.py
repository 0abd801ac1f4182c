"""Locust: customers who order the real baskets over HTTP, look at their orders, and sometimes cancel them.

    locust -f loadtests/locustfile.py --host http://127.0.0.1:8000 [--headless -u 50 -r 10 -t 1m]

or `make load`, which starts its own system. Before the run, staff receive stock for all baskets, `--rounds` times over;
when the last customer has stopped, `verify` checks everything (see `loadtests.loadrun`). It needs the system's
settings, to mint tokens and to list the products; in the folder of `make up` it finds them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
from locust import FastHttpUser, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from loadtests.baskets import Basket
from loadtests.loadrun import LoadRun, invoices, leads
from ops.home import join_running
from runtime.settings import settings
from runtime.signing_keys import key_ring
from runtime.tokens import mint

WAIT_SECONDS: Final = 5
TOKEN_LIFETIME_SECONDS: Final = 86_400
REMEMBERED_ORDERS: Final = 20

# Statuses that a valid order may get: placed, or not enough left.
_SETTLED: Final = (201, 409)


class Customer(FastHttpUser):
    """A customer with a real customer's baskets."""

    wait_time = between(0.0, 0.2)

    def on_start(self) -> None:
        self._baskets = random.choice(_baskets_by_customer())
        customer_id = self._baskets[0].customer_id
        token = mint(key_ring(settings()), customer_id, ["customer"], lifetime_seconds=TOKEN_LIFETIME_SECONDS)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._orders: list[str] = []

    @task(10)
    def place(self) -> None:
        """Places an order without waiting for its outcome."""
        headers = {**self._headers, "Idempotency-Key": _key()}
        with self.client.post("/api/v1/orders", self._order(), headers=headers, catch_response=True) as response:
            if response.status_code == 202:
                self._remember(response.json()["id"])
                response.success()
            else:
                response.failure(f"wanted 202, got {response.status_code}")

    @task(5)
    def place_and_wait(self) -> None:
        """Places an order and waits for its outcome."""
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
        """Cancels an order, which need not be placed yet, since commands about one order are applied in order."""
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
    parser.add_argument(
        "--rounds",
        type=int,
        default=10,
        include_in_web_ui=True,
        help="Before the run, receive stock for all baskets this many times over",
    )
    parser.add_argument(
        "--least-requests",
        type=int,
        default=0,
        include_in_web_ui=True,
        help="A run with fewer requests has failed; 0 means one for each customer",
    )


@events.init.add_listener  # type: ignore[untyped-decorator]  # Locust has no types there
def _open_the_shop(environment: Environment, **_: Any) -> None:
    if leads(environment):
        run = LoadRun(environment)
        run.open()
        quitting: Any = environment.events.quitting
        quitting.add_listener(lambda **_: run.close())
    else:
        join_running(os.environ)


def _key() -> str:
    return f"locust-{random.getrandbits(64):016x}"


@lru_cache(maxsize=1)
def _baskets_by_customer() -> Sequence[Sequence[Basket]]:
    found: dict[str, list[Basket]] = {}
    for basket in invoices().baskets:
        found.setdefault(basket.customer_id, []).append(basket)
    return list(found.values())
