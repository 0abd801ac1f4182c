"""The WebSockets `/ws` and `/ws/notifications`, straight on ASGI: an idle one costs one listening task. Here sockets
are admitted, counted, sent heartbeats and closed; their messages are the session's business.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Literal
from urllib.parse import parse_qs
from uuid import UUID

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from gateway.identity.caller import Caller, bearer_token
from gateway.realtime.messages import TOPICS_MAX, Subscribe
from gateway.realtime.parts import Parts
from gateway.realtime.places import NoPlace, Place
from gateway.realtime.plain import Notifications
from gateway.realtime.session import Session
from gateway.realtime.topics import ME
from gateway.server.closing import (
    BAD_REQUEST,
    FORBIDDEN,
    INTERNAL_ERROR,
    MEANINGS,
    TOO_SLOW,
    TRY_LATER,
    UNAUTHENTICATED,
    Closing,
)
from gateway.web.problems import Problem
from runtime.engine import VIEW_FAILED
from runtime.metrics import SOCKETS_CLOSED

SocketKind = type[Session]
SOCKETS_BY_PATH: Final[dict[str, SocketKind]] = {"/ws": Session, "/ws/notifications": Notifications}

_SEQ: Final = re.compile("[0-9]{1,18}")
_QUERY_FIELDS_MAX: Final = 10
_TOPIC_MAX_CHARS: Final = 100

# How long to wait for a slow client to take the last messages.
_FLUSH_SECONDS: Final = 1.0

# Between two checks of other conditions.
_HEARTBEATS_AT_ONCE: Final = 50

# The first of the codes that are not the protocol's.
_OURS: Final = 4000

SOCKETS_CLOSED.allow(code=map(str, MEANINGS))

_log = logging.getLogger(__name__)


class Sockets:
    """All sockets of this process."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self._open: set[Session] = set()

    async def run(self) -> None:
        """Sends every socket a heartbeat from time to time, until cancelled."""
        while True:
            await asyncio.sleep(self.parts.config.socket_heartbeat_seconds)
            for number, session in enumerate(list(self._open), 1):
                session.heartbeat()
                if number % _HEARTBEATS_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def revoke(self) -> None:
        """Something has been revoked: ends the sockets of callers that are no longer valid."""
        for session in list(self._open):
            if session.caller is not None and not self.parts.authenticator.stands(session.caller):
                session.revoke()

    def resync(self) -> None:
        """The log has been replaced: ends the sockets of all who follow it."""
        for session in list(self._open):
            session.resync()

    async def serve(self, kind: SocketKind, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one WebSocket, from its request to its end."""
        if (await receive())["type"] != "websocket.connect":
            return
        await send({"type": "websocket.accept"})
        try:
            query = _query(scope)
            caller = await self._admit(scope, query, needs_token=kind is Notifications)
            place = self.place(scope, caller)
        except _Refused as refused:
            count_end(refused.closing)
            await _close(send, refused.closing)
            return

        async def send_text(text: str) -> None:
            await send({"type": "websocket.send", "text": text})

        code = None
        session = kind(self.parts, caller, send_text, interrupting(), place)
        with self.counted(session):
            try:
                code = await self._listen(session, query, receive)
                closing = session.closing or Closing(None, "gone")
                await _flush(session)
            except asyncio.CancelledError:
                closing = ended(session)
                await _flush(session)
            except Exception:
                _log.exception("a socket failed unexpectedly")
                closing = Closing(INTERNAL_ERROR, "internal_error")
            finally:
                session.close()
        count_end(closing, code)
        await _close(send, closing)

    async def _listen(self, session: Session, query: dict[str, str], receive: Receive) -> int | None:
        """Passes on the client's messages until either side ends; with which code, if not the session ends it. The
        request itself may ask for a subscription."""
        if isinstance(session, Notifications):
            await session.begin(Subscribe([ME], _after(query), log=_log_of(query)))
        elif topics := query.get("topics"):
            await session.begin(Subscribe(topics.split(","), _after(query), log=_log_of(query)))
        while session.closing is None:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return message.get("code")
            text: Any = message.get("text")
            await session.hear(message["bytes"] if text is None else text)
        return None

    async def _admit(self, scope: Scope, query: dict[str, str], *, needs_token: bool) -> Caller | None:
        """The caller, if the request has a token. Raises _Refused."""
        _check(query)
        headers = Headers(scope=scope)
        try:
            token = query.get("token")
            if token is None and (needs_token or "authorization" in headers):
                token = bearer_token(headers.get("authorization"))
            caller = None if token is None else await self.parts.authenticator.authenticate(token)
        except Problem as problem:
            raise _Refused(FORBIDDEN if problem.code == "forbidden" else UNAUTHENTICATED, problem.code) from None
        except VIEW_FAILED:
            raise _Refused(TRY_LATER, "database_unavailable") from None
        return caller

    def place(self, scope: Scope, caller: Caller | None) -> Place:
        """A place for the sender of this request. Raises _Refused."""
        try:
            return self.parts.places.take(caller, host_of(scope))
        except NoPlace as full:
            raise _Refused(TRY_LATER, str(full)) from None

    @contextmanager
    def counted(self, session: Session) -> Iterator[None]:
        """Registers a socket while it is open, and frees its place afterwards."""
        self._open.add(session)
        try:
            yield
        finally:
            self.parts.places.free(session.place)
            self._open.discard(session)


class _Refused(Exception):
    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.closing = Closing(code, reason)


def count_end(closing: Closing, code: int | None = None) -> None:
    """A socket or event stream has ended; `code` is the one that the server below chose, or the client, which may name
    any of ours."""
    sent = code if closing.code is None and code is not None and code < _OURS else closing.code
    SOCKETS_CLOSED.labels(str(sent) if sent in MEANINGS else "gone").inc()


def host_of(scope: Scope) -> str | None:
    """The address that the request came from, if known."""
    client = scope.get("client")
    return client[0] if client else None


def interrupting() -> Callable[[], None]:
    """A callback that interrupts the current task when its session ends, unless the task ends it itself."""
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        if asyncio.current_task() is not task:
            task.cancel()

    return interrupt


def ended(session: Session) -> Closing:
    """How the session that interrupted the current task ended; if something else cancelled it, re-raises."""
    task = asyncio.current_task()
    if session.closing is None or task is None:
        raise asyncio.CancelledError
    task.uncancel()
    return session.closing


async def _flush(session: Session) -> None:
    """Lets queued messages go out before the end, unless the client is too slow."""
    if session.closing is not None and session.closing.code not in (None, TOO_SLOW):
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_SECONDS):
                await session.flushed()


def _query(scope: Scope) -> dict[str, str]:
    """The query's fields; of repeated ones, the last. Raises _Refused if it cannot be parsed."""
    try:
        fields = parse_qs(scope["query_string"].decode(), keep_blank_values=True, max_num_fields=_QUERY_FIELDS_MAX)
    except (ValueError, UnicodeDecodeError):
        raise _Refused(BAD_REQUEST, "the query cannot be read") from None
    return {name: values[-1] for name, values in fields.items()}


def _check(query: dict[str, str]) -> None:
    """Raises _Refused for an invalid query."""
    if not _SEQ.fullmatch(query.get("after", "0")):
        raise _Refused(BAD_REQUEST, "`after` is a seq")
    try:
        _log_of(query)
    except ValueError:
        raise _Refused(BAD_REQUEST, "`log` is a UUID") from None
    topics = query.get("topics", "").split(",")
    if len(topics) > TOPICS_MAX or any(len(topic) > _TOPIC_MAX_CHARS for topic in topics):
        raise _Refused(BAD_REQUEST, "too many topics, or topics that are too long")


def _after(query: dict[str, str]) -> int | Literal["now"]:
    return int(query["after"]) if "after" in query else "now"


def _log_of(query: dict[str, str]) -> UUID | None:
    return UUID(query["log"]) if "log" in query else None


async def _close(send: Send, closing: Closing) -> None:
    if closing.code is None:
        return
    with suppress(Exception):  # the client has gone meanwhile
        async with asyncio.timeout(1.0):
            await send({"type": "websocket.close", "code": closing.code, "reason": closing.reason})
