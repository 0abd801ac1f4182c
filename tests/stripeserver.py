"""A Stripe on this machine: localstripe as a process of its own, which it is told to be on 127.0.0.1 only.

It is not all of Stripe. What it lacks and we rely on is added here, as Stripe documents it: keys that make a request
idempotent, amounts received, metadata given with a capture, lists by date, charges that are named
and not shown, and refunds that do not exceed the charge.

    python -m tests.stripeserver PORT
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from ops.ports import free_port
from tests.system import eventually_seen

SECRET_KEY: Final = "sk_test_tidegate"
GOOD: Final = "4242424242424242"
DECLINED: Final = "4000000000000341"
ASKS_FOR_A_STEP: Final = "4000002500003155"
_REFUSALS: Final = {
    402: {"type": "card_error", "code": "card_declined", "message": "It could not be done."},
    403: {"type": "invalid_request_error", "message": "The key does not have the permissions."},
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_ROOT: Final = Path(__file__).parents[1]


class StripeHere:
    """One that runs, at `url`."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._session = session

    async def post(self, path: str, said: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        async with self._session.post(f"{self.url}{path}", json=said, headers=headers) as response:
            assert response.status == 200, await response.text()
            text = await response.text()
        return None if not text else await response.json()

    async def method(self, number: str) -> str:
        """A PaymentMethod, as Stripe.js makes one from a card."""
        card = {"number": number, "exp_month": 12, "exp_year": 2050, "cvc": "123"}
        made = await self.post("/v1/payment_methods", {"type": "card", "card": card})
        return str(made["id"])

    async def forgets(self) -> None:
        """Forgets the keys of requests, as Stripe does after a day."""
        await self.post("/_config/forgets", {})

    async def refuses(self, verb: str, path: str, status: int = 403) -> None:
        """Answers the next such request as one that our key does not permit, or with 402 as one that failed."""
        await self.post("/_config/refuses", {"verb": verb, "path": path, "status": status})

    async def step(self, intent_id: str, *, succeeds: bool) -> None:
        """Takes the buyer through the step that a card asks for."""
        said = {"client_secret": (await self.intent(intent_id))["client_secret"], "success": succeeds}
        await self.post(f"/v1/payment_intents/{intent_id}/_authenticate", said)

    async def get(self, path: str, **params: str) -> Any:
        headers = {"Authorization": f"Bearer {SECRET_KEY}"}
        async with self._session.get(f"{self.url}{path}", params=params, headers=headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def listed(self, kind: str, **params: str) -> list[Any]:
        """The newest of a kind of object."""
        return list((await self.get(f"/v1/{kind}", limit="100", **params))["data"])

    async def intent(self, intent_id: str) -> Any:
        return await self.get(f"/v1/payment_intents/{intent_id}")

    async def tells(self, url: str, secret: str) -> None:
        """Has webhooks sent."""
        await self.post("/_config/webhooks/tidegate", {"url": url, "secret": secret})


@asynccontextmanager
async def stripe_here(session: aiohttp.ClientSession) -> AsyncIterator[StripeHere]:
    """A running one, with nothing in it."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.stripeserver", str(port), cwd=_ROOT, stderr=subprocess.DEVNULL
    )
    try:
        here = StripeHere(port, session)

        async def answers() -> bool:
            assert process.returncode is None, "localstripe ended"
            try:
                async with session.get(f"{here.url}/v1/payment_intents") as response:
                    return response.status == 401
            except aiohttp.ClientError:
                return False

        await eventually_seen("localstripe", answers, within_seconds=20)
        yield here
    finally:
        process.kill()
        await process.wait()


def _serve(port: int) -> None:
    from localstripe import resources, server
    from localstripe.errors import UserError

    resources.store.dump_to_disk = lambda: None
    intent, refund = resources.PaymentIntent, resources.Refund
    capture, create_refund, listed = intent._api_capture, refund._api_create, intent._api_list_all
    export = intent._export

    def received(self: Any) -> int:
        charge = self.latest_charge
        if self.status != "succeeded":
            return 0
        let_go = sum(each.amount for each in charge.refunds._list if each.payment_intent is None)
        return int(charge.amount - let_go)

    def captured(cls: Any, id: str, metadata: dict[str, str] | None = None, **said: Any) -> Any:  # noqa: A002
        if intent._api_retrieve(id).status != "requires_capture":
            raise UserError(400, "It cannot be captured.", {"code": "payment_intent_unexpected_state"})
        if metadata:
            intent._api_update(id, metadata=metadata)
        return capture(id=id, **said)

    def refunded(cls: type[Any], /, **said: Any) -> Any:
        found = intent._api_retrieve(said["payment_intent"])
        before = sum(each.amount for each in found.latest_charge.refunds._list if each.payment_intent is not None)
        if before + int(said["amount"]) > found.amount_received:
            raise UserError(400, "More than was charged.", {"code": "charge_already_refunded"})
        made = create_refund(**said)
        if "metadata" not in said:
            made.metadata = None  # as Stripe's own description of a refund allows
        return made

    def by_date(cls: type[Any], /, url: str, created: dict[str, str] | None = None, **said: Any) -> Any:
        found = listed(url, **said)
        first, last = int((created or {}).get("gte", 0)), int((created or {}).get("lte", 1 << 62))
        found._list = [each for each in found._list if first <= each.created <= last]
        return found

    def exported(self: Any, expand: list[str] | None = None) -> Any:
        said = export(self, expand=expand)
        if said["latest_charge"] and "latest_charge" not in (expand or []):
            said["latest_charge"] = said["latest_charge"]["id"]
        return said

    intent._export = exported
    intent.amount_received = property(received)
    intent._api_list_all = classmethod(by_date)
    refund._api_create = classmethod(refunded)
    answers: dict[str, tuple[int, bytes]] = {}
    refused: dict[tuple[str, str], int] = {}

    async def forgets(request: web.Request) -> web.Response:
        answers.clear()
        return web.Response()

    async def refuses(request: web.Request) -> web.Response:
        said = await request.json()
        refused[said["verb"], said["path"]] = said["status"]
        return web.Response()

    @web.middleware
    async def once(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if status := refused.pop((request.method, request.path), 0):
            return web.json_response({"error": _REFUSALS[status]}, status=status)
        key = request.headers.get("Idempotency-Key")
        if key is None or request.method != "POST":
            return await handler(request)
        if key not in answers:
            response = await handler(request)
            assert isinstance(response, web.Response)
            assert isinstance(response.body, bytes)
            answers[key] = (response.status, response.body)
        status, body = answers[key]
        return web.Response(status=status, body=body, content_type="application/json")

    app = web.Application(middlewares=[once, *server.app.middlewares])
    captures = server.api_extra(lambda **said: captured(intent, **said), "")
    app.router.add_post("/v1/payment_intents/{id}/capture", captures)
    app.router.add_post("/_config/forgets", forgets)
    app.router.add_post("/_config/refuses", refuses)
    for route in server.app.router.routes():
        assert route.resource is not None
        app.router.add_route(route.method, route.resource.canonical, route.handler)
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
