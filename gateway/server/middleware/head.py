"""HEAD, answered like GET without the body (RFC 9110, 9.3.2); routes need not know about it."""

import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """Passes HEAD to the app as GET, and ends the response after its head; to an app that keeps sending, the client
    seems to have left. For endless responses, HEAD is passed on unchanged, and the app answers 405."""

    def __init__(self, app: ASGIApp, endless: Iterable[re.Pattern[str]]) -> None:
        """`endless` are the paths with endless responses."""
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
