"""A request that is sent again with its Idempotency-Key is the same request: it counts once towards each limit."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from fastapi import Request, Response

from domain.checkouts import OpenCheckout
from domain.model import Actor, Wanted
from gateway.edge import Edge
from gateway.identity.caller import NOBODY, Caller
from gateway.identity.guests import stranger
from gateway.routes.cards import mail_gift_card
from gateway.routes.checkouts import complete_checkout
from gateway.routes.orders import cancel_order, place_order
from gateway.web.problems import Problem
from runtime.settings import Settings
from tests.integration.shopfloor import STAFF, Shopfloor

_ONE_OF_EACH: Final = {
    "guest_orders_max_per_address": 1,
    "guest_mails_max_per_address": 1,
    "gift_card_mails_max_per_card": 1,
}
_Write = Callable[[Request], Awaitable[Response]]


def _request(edge: Edge, key: str | None, body: object) -> Request:
    """A write that does not wait for its outcome."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": msgspec.json.encode(body)}

    headers = [(b"content-type", b"application/json"), (b"prefer", b"wait=0")]
    if key is not None:
        headers.append((b"idempotency-key", key.encode()))
    app = SimpleNamespace(state={"edge": edge})
    scope = {"type": "http", "method": "POST", "path": "/write", "headers": headers, "client": ("192.0.2.1", 1)}
    return Request({**scope, "app": app}, receive)


def _caller(actor: Actor) -> Caller:
    return Caller(actor, float("inf"))


async def _order_of_a_stranger(floor: Shopfloor) -> tuple[_Write, object]:
    body = {"lines": [{"sku": "MUG", "quantity": 1}], "email": "guest@example.com"}
    return lambda request: place_order(request, NOBODY), body


async def _completion(floor: Shopfloor) -> tuple[_Write, object]:
    guest, checkout_id = stranger(), floor.new_id()
    await floor.post(OpenCheckout(checkout_id, lines=(Wanted("MUG", 1),)), actor=guest)
    await floor.drain()
    return lambda request: complete_checkout(request, _caller(guest), checkout_id), {"expected_total_minor": 100}


async def _cancellation(floor: Shopfloor) -> tuple[_Write, object]:
    guest, order_id = stranger(), floor.new_id()
    return lambda request: cancel_order(request, _caller(guest), order_id), {}


async def _mail_of_a_code(floor: Shopfloor) -> tuple[_Write, object]:
    card_id: UUID = floor.new_id()
    return lambda request: mail_gift_card(request, _caller(STAFF), card_id), {}


@pytest.mark.parametrize("prepare", [_order_of_a_stranger, _completion, _cancellation, _mail_of_a_code])
async def test_a_repetition_counts_towards_no_limit_and_is_let_in_when_one_is_reached(
    floor: Shopfloor, prepare: Callable[[Shopfloor], Awaitable[tuple[_Write, object]]]
) -> None:
    await floor.fill(MUG=5)
    write, body = await prepare(floor)
    config = Settings().model_copy(
        update={"database_url": floor.database_url, "redis_url": floor.redis_url, **_ONE_OF_EACH}
    )
    async with Edge(config) as edge:
        answers = [await write(_request(edge, "first", body)) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202] * 3
        assert len({answer.body for answer in answers}) == 1
        for another in ("another", None):
            with pytest.raises(Problem) as refused:
                await write(_request(edge, another, body))
            assert refused.value.code == "too_many_attempts"
