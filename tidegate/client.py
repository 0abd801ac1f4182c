"""The feed for Python programs: an async iterator over the events of some topics, which resumes by itself.

    async with aiohttp.ClientSession() as http:
        async for event in Feed(http, "http://127.0.0.1:8000", token, ["orders"], after=0):
            print(event["seq"], event["type"])

Each event is delivered once and in order, whatever happens to the connection, the gateway or the network: the feed
reconnects and resumes after the last event it has seen. It ends only, with FeedRefused, when retrying would not help:
for instance when the log was started afresh or restored from a backup, and the events seen are no longer part of it.
Events are CloudEvents, as dictionaries.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, Literal

import aiohttp

BAD_REQUEST: Final = 4400
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
NOT_THIS_LOG: Final = 4410
NOT_THIS_LOG_CODES: Final = frozenset({"ahead_of_log", "another_log", "archived"})

# Pause between attempts to connect: doubles each time up to the longest, and half of it is random.
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0

# The gateway sends something every 15 seconds; a connection that is silent for longer is dead.
SILENCE_SECONDS: Final = 45.0

# Transient errors: the feed reconnects.
_PASSING: Final = "database_unavailable"

_REFUSALS: Final = {BAD_REQUEST: "bad_request", FORBIDDEN: "forbidden", NOT_THIS_LOG: "another_log"}

_SUBSCRIPTION: Final = "feed"

Event = dict[str, Any]
Token = str | Callable[[], Awaitable[str]]


class FeedRefused(Exception):
    """The gateway will not serve this feed: the token is invalid or does not allow a topic, or the events seen are not
    part of the log (`ahead_of_log`, `another_log`), or those that follow are archived (`archived`), and the reader must
    resync. `code` is stable. With `archived`, `first_seq` is the first event that is not, if the gateway said so."""

    def __init__(self, code: str, detail: str, first_seq: int | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.first_seq = first_seq


class Feed:
    """The events of `topics` after the seq `after`, or from now on. `token` is a bearer token, or an async function
    that returns a valid one, which lets a feed outlive its tokens."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        url: str,
        token: Token,
        topics: Sequence[str],
        after: int | Literal["now"] = "now",
        *,
        log: str | None = None,
        on_state: Callable[[str], None] = lambda state: None,
        on_stats: Callable[[dict[str, Any]], None] = lambda stats: None,
    ) -> None:
        """`log` is the identity of the log that `after` belongs to, from an earlier feed's `log`; a log with other
        events is then recognised. `on_state` is called with "connected" and "disconnected", and `on_stats` with the
        figures of the topic `stats` each second. A feed of `stats` alone yields no events, and runs until it is
        cancelled."""
        self._http = http
        self._url = url.rstrip("/") + "/ws"
        self._token = token
        self._topics = list(topics)
        self._on_state = on_state
        self._on_stats = on_stats
        self.seq: int | Literal["now"] = after
        """All events up to here have been delivered; the feed resumes after it."""
        self.log = log
        """The identity of the log that `seq` belongs to, once known."""
        self.connections = 0
        """How often it has connected."""

    def __aiter__(self) -> AsyncGenerator[Event, None]:
        return self._events()

    async def _events(self) -> AsyncGenerator[Event, None]:
        pause = FIRST_PAUSE_SECONDS
        while True:
            connections = self.connections
            try:
                async with aclosing(self._connected()) as events:
                    async for event in events:
                        yield event
            except aiohttp.WSServerHandshakeError as error:
                if 400 <= error.status < 500 and error.status != 429:
                    raise FeedRefused("not_served", f"{self._url} answered with {error.status}") from None
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            if self.connections > connections:
                pause = FIRST_PAUSE_SECONDS
                self._on_state("disconnected")
            await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - jitter
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _connected(self) -> AsyncGenerator[Event, None]:
        """The events of one connection, until it ends. Raises FeedRefused if reconnecting would not help."""
        token = self._token if isinstance(self._token, str) else await self._token()
        headers = {"Authorization": f"Bearer {token}"}
        async with self._http.ws_connect(self._url, headers=headers, max_msg_size=0) as socket:
            request = {"type": "subscribe", "topics": self._topics, "after": self.seq, "subscription": _SUBSCRIPTION}
            if self.log is not None and self.seq != "now":
                request["log"] = self.log
            await socket.send_json(request)
            while True:
                message = await socket.receive(SILENCE_SECONDS)
                if message.type is not aiohttp.WSMsgType.TEXT:
                    self._refuse(socket.close_code, str(message.extra or ""))
                    return
                said = message.json()
                if said["type"] == "events":
                    for event in said["events"]:
                        self.seq = event["seq"]
                        yield event
                elif not self._goes_on(said):
                    return

    def _goes_on(self, said: dict[str, Any]) -> bool:
        """Handles a message without events; returns False if it ends the connection. Raises FeedRefused."""
        kind = said["type"]
        if kind == "subscribed":
            self.seq = said["after"]
            self.log = said.get("log", self.log)
            self.connections += 1
            self._on_state("connected")
        elif kind == "heartbeat":
            self.seq = said["seq"]
        elif kind == "stats":
            self._on_stats(said["stats"])
        elif kind == "error":
            if said["code"] != _PASSING:
                raise FeedRefused(said["code"], said["detail"], said.get("first_seq"))
            return False
        return True

    def _refuse(self, close_code: int | None, reason: str) -> None:
        """Raises FeedRefused if the socket was closed for good: the token cannot be renewed or lacks permission."""
        if close_code == UNAUTHENTICATED and isinstance(self._token, str):
            raise FeedRefused("unauthenticated", reason)
        if close_code in _REFUSALS:
            raise FeedRefused(reason if reason in NOT_THIS_LOG_CODES else _REFUSALS[close_code], reason)
