"""What a shopper does, step by step: looks at a page, fills a checkout, pays, and waits until the order is paid."""

from __future__ import annotations

from secrets import token_hex
from typing import Any, Final

import msgspec

from domain.model import Wanted
from loadtests.conversations import Conversation, Pause, Talked, Unexpected
from loadtests.loadgen import request

_API: Final = "/api/v1"
LOOK_AGAIN_SECONDS: Final = 0.02
LOOKS: Final = 500
_WAIT_SECONDS: Final = 10
_PAYMENT: Final = {"provider": "sandbox", "method": "card"}
ADDRESS: Final = {
    "name": "Ada Lovelace",
    "line1": "1 Harbour Street",
    "city": "London",
    "postal_code": "SW1A 1AA",
    "country": "GB",
}

COMPLETE: Final = "complete"
CHECKOUT: Final = "checkout"


class Shopper:
    """One customer with a token. `host` is for the Host header."""

    def __init__(self, host: str, token: str) -> None:
        self._host = host
        self._headers = {
            "authorization": f"Bearer {token}",
            "content-type": "application/json",
        }

    def buys(self, talked: Talked, lines: tuple[Wanted, ...], method_id: str, code: str) -> Conversation:
        """A whole checkout. Its time, and that of `complete`, are kept in `talked`."""
        spent = 0.0
        (yield self._get("/products?limit=20")).json(200)
        chosen = [{"sku": wanted.sku, "quantity": wanted.quantity} for wanted in lines]
        answer = yield self._post("/checkouts", {"currency": "GBP", "lines": chosen})
        spent += answer.seconds
        path = f"/checkouts/{answer.json(201)['id']}"
        for change in (
            {"email": "ada@example.com", "address": ADDRESS},
            {"method_id": method_id},
            {"codes": [code]},
        ):
            answer = yield self._send("PATCH", path, change)
            spent += answer.seconds
            shown = answer.json(200)
        agreed = {"expected_total_minor": shown["quote"]["total_minor"], "payment": _PAYMENT}
        answer = yield self._send("POST", f"{path}/complete", agreed, prefer=f"wait={_WAIT_SECONDS}")
        spent += answer.seconds
        talked.timed(COMPLETE, answer.seconds)
        order = answer.json(201)
        looks = 0
        while order["status"] != "confirmed":
            looks += 1
            if looks > LOOKS:
                raise Unexpected(f"still not paid: {order['payment']}")
            yield Pause(LOOK_AGAIN_SECONDS)
            answer = yield self._get(f"/orders/{order['id']}")
            spent += answer.seconds + LOOK_AGAIN_SECONDS
            order = {**order, **answer.json(200)}
        talked.timed(CHECKOUT, spent)

    def _get(self, path: str) -> bytes:
        return request("GET", self._host, _API + path, self._headers)

    def _post(self, path: str, body: Any) -> bytes:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Any, **more: str) -> bytes:
        headers = {**self._headers, "idempotency-key": token_hex(8), **more}
        return request(method, self._host, _API + path, headers, msgspec.json.encode(body))
