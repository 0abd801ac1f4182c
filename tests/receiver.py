"""A receiver of webhooks for tests: records what it is sent, and answers as the test says, correctly or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Self

from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy
from standardwebhooks import Webhook

from tests.system import eventually_seen

RECEIVES_SECONDS: Final = 20.0


class Received(NamedTuple):
    """One request."""

    headers: CIMultiDictProxy[str]
    body: bytes

    def verified(self, secret: str) -> dict[str, Any]:
        """The event, if it was signed with this secret; otherwise raises what the library raises."""
        event: dict[str, Any] = Webhook(secret).verify(self.body, dict(self.headers))
        return event


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Receiver:
    """`async with Receiver() as receiver:` listens on its own port; `answer` may be changed at any time."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Answer = with_status(204)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._server = TestServer(app)

    async def __aenter__(self) -> Self:
        await self._server.start_server(shutdown_timeout=0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("/hook?from=tidegate"))

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.received.append(Received(request.headers, await request.read()))
        return await self.answer(request)

    def events(self, secret: str) -> list[dict[str, Any]]:
        """All received events, each verified."""
        return [received.verified(secret) for received in self.received]

    async def has(self, count: int) -> list[Received]:
        """Waits for this many requests; returns them."""

        async def enough() -> bool:
            return len(self.received) >= count

        await eventually_seen(f"{count} requests", enough, within_seconds=RECEIVES_SECONDS)
        return self.received


def with_status(status: int, **headers: str) -> Answer:
    """Answers with this status, without a body."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def hangs(request: web.Request) -> web.StreamResponse:
    """Never answers."""
    await asyncio.Event().wait()
    raise AssertionError("it is never set")


async def fails_endlessly(request: web.Request) -> web.StreamResponse:
    """Answers 500, with a body that has no end."""
    return await _endless(request, 500)


async def succeeds_endlessly(request: web.Request) -> web.StreamResponse:
    """Answers 200, with a body that has no end."""
    return await _endless(request, 200)


async def _endless(request: web.Request, status: int) -> web.StreamResponse:
    response = web.StreamResponse(status=status)
    await response.prepare(request)
    while True:
        await response.write(b"and so on " * 1_000)


async def closes(request: web.Request) -> web.StreamResponse:
    """Closes the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def talks_nonsense(request: web.Request) -> web.StreamResponse:
    """Answers with something that is not HTTP."""
    assert request.transport is not None
    request.transport.write(b"220 mail.example ESMTP\r\n\r\n")
    return await hangs(request)
