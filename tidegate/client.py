"""The feed for Python programs: an async iterator over the events of some topics, which resumes by itself.

    async with aiohttp.ClientSession() as http:
        async for event in Feed(http, "http://127.0.0.1:8000", token, ["orders"], after=0):
            print(event["seq"], event["type"])

Each event comes once and in order, whatever happens to the connection, the gateway, or what lies between: the feed
connects again behind the last event it has seen. Only what would be refused again ends it, with FeedRefused; as when
the log was begun anew or put back from a backup, so that what was seen is no part of it any more. Events are
CloudEvents, as dictionaries.
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
NOT_THIS_LOG_CODES: Final = frozenset({"ahead_of_log", "another_log"})

# Between two attempts to connect: at first so long, then twice as long each time, up to the most; half of it by chance.
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 5.0

# The gateway says something every 15 seconds; a connection that is silent for so long is dead.
SILENCE_SECONDS: Final = 45.0

# An error that passes: the feed tries again.
_PASSING: Final = "database_unavailable"

_REFUSALS: Final = {BAD_REQUEST: "bad_request", FORBIDDEN: "forbidden", NOT_THIS_LOG: "another_log"}

_SUBSCRIPTION: Final = "feed"

Event = dict[str, Any]
Token = str | Callable[[], Awaitable[str]]


class FeedRefused(Exception):
    """The gateway will not serve this feed: the token does not hold, or may not see a topic; or what was seen is no
    part of the log (`ahead_of_log`, `another_log`), and whoever follows must begin anew. `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


class Feed:
    """The events of `topics` behind the seq `after`, or from now on. `token` is a bearer token, or an async function
    that gives one that is good now: with it, a feed outlives its tokens."""

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
        """`log` is which log `after` is a seq of, as an earlier feed knew: so one with other events is told apart.
        `on_state` is told "connected" and "disconnected"; `on_stats` what the topic `stats` says each second. A feed of
        `stats` alone has no events, and goes on until it is cancelled."""
        self._http = http
        self._url = url.rstrip("/") + "/ws"
        self._token = token
        self._topics = list(topics)
        self._on_state = on_state
        self._on_stats = on_stats
        self.seq: int | Literal["now"] = after
        """Everything up to here was handed out; where it resumes."""
        self.log = log
        """Which log that seq is of, once it is known."""
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
                    raise FeedRefused("not_served", f"{self._url} answers with {error.status}") from None
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            if self.connections > connections:
                pause = FIRST_PAUSE_SECONDS
                self._on_state("disconnected")
            await asyncio.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 - jitter
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _connected(self) -> AsyncGenerator[Event, None]:
        """The events of one connection, until it ends. Raises FeedRefused where connecting again would not help."""
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
        """Takes a message that is no events; False if it ends the connection. Raises FeedRefused."""
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
                raise FeedRefused(said["code"], said["detail"])
            return False
        return True

    def _refuse(self, close_code: int | None, reason: str) -> None:
        """Raises FeedRefused if the socket was closed for good: a token that cannot be renewed, or may not."""
        if close_code == UNAUTHENTICATED and isinstance(self._token, str):
            raise FeedRefused("unauthenticated", reason)
        if close_code in _REFUSALS:
            raise FeedRefused(_REFUSALS[close_code], reason)
