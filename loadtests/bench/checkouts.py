"""Whole checkouts over HTTP: shoppers look at a page, fill a cart, choose a delivery, enter a code, pay through the
sandbox and wait until their order is paid. Tax is included in the prices.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Generator, Iterator
from random import Random
from typing import Any, Final
from uuid import UUID

from loadtests import conversations
from loadtests.bench import goods
from loadtests.bench.cpu import cpu_an_order, cpu_seconds
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.served import serving
from loadtests.bench.shopper import CHECKOUT, COMPLETE, Shopper
from loadtests.bench.stage import HOST, BenchError, Stage
from loadtests.bench.targets import CHECKOUTS, MILLISECONDS
from loadtests.conversations import Conversation, Talked
from ops import processes
from ops.ports import free_port
from runtime.signing_keys import key_ring
from runtime.tokens import mint

_DATABASE: Final = "bench_http"
_WARM_UP_SECONDS: Final = 2.0

_METHOD_ID: Final = UUID(int=1)
_PROMOTION_ID: Final = UUID(int=2)
CODE: Final = "WELCOME10"
VAT_BP: Final = 2_000
PERCENT_BP: Final = 1_000
DELIVERY_MINOR: Final = 395
_TAXES: Final = {
    "home": "GB",
    "rates": [{"name": "VAT", "area": {"country": "GB"}, "tax_class": "standard", "rate_bp": VAT_BP}],
    "policy": {"included": True},
}
_METHOD: Final = {
    "name": "Post",
    "areas": [{"country": "GB"}],
    "rates": [{"currency": "GBP", "price_minor": DELIVERY_MINOR, "free_from_minor": 5000}],
}
_PROMOTION: Final = {"name": "Welcome", "coded": True, "action": {"kind": "percent", "percent_bp": PERCENT_BP}}


class Checkouts:
    """Series `checkouts: tidegate`, `checkouts: complete p50` and p99, `checkouts: p50` and p99, and the CPU time of
    one."""

    name = "checkouts"

    def __init__(self, stage: Stage, plan: Plan, skus: int = goods.SPREAD_SKUS) -> None:
        """Shoppers buy the first `skus` of the goods."""
        self._stage = stage
        self._skus = skus
        self._seconds = plan.seconds
        self._shoppers = plan.shoppers
        self._random = Random(goods.SEED)

    def titles(self) -> list[str]:
        return [f"checkouts: {self._shoppers} shoppers"]

    def measure(self) -> Generator[list[Measured]]:
        sandbox = {"TIDEGATE_SANDBOX_PORT": str(free_port())}
        database_url = self._stage.fresh(_DATABASE)
        with serving(self._stage, processes.commands(sandbox=True), database_url, sandbox) as port:
            self._state_terms(port)
            self._talk(port, _WARM_UP_SECONDS)
            before = cpu_seconds()
            talked = self._talk(port, self._seconds)
            cpu = cpu_an_order("whole checkout", before, talked.finished)
        yield [
            Measured("checkouts: tidegate", talked.rate, CHECKOUTS),
            *(
                Measured(f"checkouts: {title}p{p}", talked.percentile_ms(what, p), MILLISECONDS)
                for title, what in (("complete ", COMPLETE), ("", CHECKOUT))
                for p in (50, 99)
            ),
            cpu,
        ]

    def _talk(self, port: int, seconds: float) -> Talked:
        talked = conversations.run(HOST, port, self._conversations, people=self._shoppers, seconds=seconds)
        if talked.failures or not talked.finished:
            raise BenchError(f"{talked.finished} checkouts, and others broke off: {talked.failures.most_common(3)}")
        return talked

    def _conversations(self, talked: Talked) -> Iterator[Conversation]:
        keys = key_ring(self._stage.config)
        shoppers: dict[str, Shopper] = {}
        for purchase in goods.two_lines(self._random, self._skus):
            if purchase.customer_id not in shoppers:
                token = mint(keys, purchase.customer_id, ["customer"], lifetime_seconds=goods.TOKEN_LIFETIME_SECONDS)
                shoppers[purchase.customer_id] = Shopper(HOST, token)
            yield shoppers[purchase.customer_id].buys(talked, purchase.lines, str(_METHOD_ID), CODE)

    def _state_terms(self, port: int) -> None:
        token = mint(key_ring(self._stage.config), "bench", ["admin"], lifetime_seconds=60)
        promotion = f"/terms/promotions/{_PROMOTION_ID}"
        for method, path, body in (
            ("PUT", "/terms/taxes", _TAXES),
            ("PUT", f"/terms/methods/{_METHOD_ID}", _METHOD),
            ("PUT", promotion, _PROMOTION),
            ("POST", f"{promotion}/codes", {"codes": [CODE]}),
        ):
            _ask(port, token, method, path, body)


def _ask(port: int, token: str, method: str, path: str, body: Any) -> None:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    url = f"http://{HOST}:{port}/api/v1{path}"
    asked = urllib.request.Request(url, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(asked) as answer:  # noqa: S310 - our own
        answer.read()
