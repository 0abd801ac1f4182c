"""HEAD, answered as GET is, without the body (RFC 9110, 9.3.2): no route need know of it."""

import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Shows the app a GET where HEAD was asked for, and ends the answer behind its head: whoever would go on sending
    sees a client that has left. Endless answers are refused by the app, which knows no HEAD: 405."""

    def __init__(self, app: ASGIApp, endless: Iterable[re.Pattern[str]]) -> None:
        """`endless`: the paths of such answers."""
        self._app = app
        self._endless = tuple(endless)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD" or self._is_endless(scope["path"]):
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        await self._app({**scope, "method": "GET"}, receive, send_head)

    def _is_endless(self, path: str) -> bool:
        return any(pattern.match(path) for pattern in self._endless)
