"""The WebSocket `/ws`: the event log for staff, from any seq, and on as it grows.

Frames are JSON arrays of CloudEvents in seq order. A reader too slow for its bounded queue is closed with 4008, and
the reason names the seq to resume from; at shutdown uvicorn closes all with 1012.
"""

import asyncio
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from gateway.auth import bearer_token
from gateway.edge import Edge
from gateway.problems import Problem
from gateway.views import log
from runtime.database import VIEW_FAILED
from runtime.metrics import SOCKETS
from runtime.records import EventRecord, chunks, cloud_event

CLOSE_TRY_LATER = 1013
CLOSE_BAD_REQUEST = 4400
CLOSE_UNAUTHENTICATED = 4401
CLOSE_FORBIDDEN = 4403
CLOSE_TOO_SLOW = 4008

# A client that takes nothing for so long is given up. Its connection ends when uvicorn's ping finds it dead.
SEND_MAX_SECONDS: Final = 20.0

_REPLAY_EVENTS: Final = 1_000
_SEQ: Final = re.compile("[0-9]{1,18}")

_log = logging.getLogger(__name__)

router = APIRouter()


class Sockets:
    """How many sockets this process has open."""

    def __init__(self) -> None:
        self.open = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Counts a socket while it is open."""
        self.open += 1
        SOCKETS.inc()
        try:
            yield
        finally:
            SOCKETS.dec()
            self.open -= 1


class _Stuck(Exception):
    """The client stopped reading: not even the close would reach it."""


class _Refused(Exception):
    """The socket is not served; `code` and `reason` close it."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@router.websocket("/ws")
async def stream_events(socket: WebSocket) -> None:
    """`?token=` or an Authorization header; `?after=SEQ` to resume, else from now on."""
    edge: Edge = socket.app.state.edge
    sockets: Sockets = socket.app.state.sockets
    with suppress(WebSocketDisconnect):  # gone before it was served: nobody to tell
        await socket.accept()
        try:
            valid_seconds = _admit(edge, sockets, socket)
        except _Refused as refused:
            await socket.close(refused.code, refused.reason)
            return
        with sockets.one_more():
            await _serve(edge, socket, valid_seconds)


def _admit(edge: Edge, sockets: Sockets, socket: WebSocket) -> float:
    """How many seconds the socket's token is still valid. Raises _Refused."""
    if sockets.open >= edge.config.socket_max_connections:
        raise _Refused(CLOSE_TRY_LATER, "too many sockets")
    if not _SEQ.fullmatch(socket.query_params.get("after", "0")):
        raise _Refused(CLOSE_BAD_REQUEST, "`after` is a seq")
    try:
        token = socket.query_params.get("token") or bearer_token(socket.headers)
        verified = edge.authenticator.verify(token)
    except Problem as problem:
        code = CLOSE_FORBIDDEN if problem.code == "forbidden" else CLOSE_UNAUTHENTICATED
        raise _Refused(code, problem.code) from None
    if not verified.who.staff:
        raise _Refused(CLOSE_FORBIDDEN, "forbidden")
    return verified.expires_at - time.time()


async def _serve(edge: Edge, socket: WebSocket, valid_seconds: float) -> None:
    """Sends events until one side has enough, or the token expires."""
    tasks = asyncio.create_task(_send(edge, socket)), asyncio.create_task(_hear(socket))
    try:
        done, _ = await asyncio.wait(tasks, timeout=valid_seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    if not done:
        await socket.close(CLOSE_UNAUTHENTICATED, "invalid_token")
    for end in ended:
        if isinstance(end, Exception):
            _log.error("a socket ended by a bug", exc_info=end)


async def _send(edge: Edge, socket: WebSocket) -> None:
    """First the log, then, close to its end, what the tail brings: a long replay fills no queue."""
    after = socket.query_params.get("after")
    sent = None if after is None else int(after)
    follower = None
    try:
        if sent is not None:
            while (read := await _replay(edge, socket, sent)) > sent:
                sent = read
        follower = await edge.tail.follow(queue_max_events=edge.config.socket_queue_max_events)
        if sent is None:
            sent = follower.after
        while sent < follower.after:
            sent = await _replay(edge, socket, sent, follower.after)
        while records := await follower.take():
            sent = await _frames(socket, [record for record in records if record.seq > sent], sent)
        await socket.close(CLOSE_TOO_SLOW, f"too slow; resume after {sent}")
    except VIEW_FAILED:
        resume = "" if sent is None else f"; resume after {sent}"
        await socket.close(CLOSE_TRY_LATER, f"the log cannot be read now{resume}")
    except _Stuck:
        _log.warning("a client has read nothing for %s s; its socket is given up", SEND_MAX_SECONDS)
    except (WebSocketDisconnect, RuntimeError):
        pass  # gone while we were sending: nobody to tell
    finally:
        if follower is not None:
            edge.tail.unfollow(follower)


async def _replay(edge: Edge, socket: WebSocket, after: int, until: int | None = None) -> int:
    """Sends the next page of the log, not beyond `until`; returns the last seq sent, `after` at the log's end."""
    async with edge.engine.connect() as connection:
        records = await log.read(connection, after, _REPLAY_EVENTS)
    return await _frames(socket, [record for record in records if until is None or record.seq <= until], after)


async def _frames(socket: WebSocket, records: list[EventRecord], sent: int) -> int:
    """Sends the records; returns the last seq sent. Raises _Stuck if the client does not take them."""
    for chunk in chunks(records):
        text = msgspec.json.encode([cloud_event(record) for record in chunk]).decode()
        try:
            async with asyncio.timeout(SEND_MAX_SECONDS):
                await socket.send_text(text)
        except TimeoutError:
            raise _Stuck from None
        sent = chunk[-1].seq
    return sent


async def _hear(socket: WebSocket) -> None:
    """Ends when the client goes. What it says means nothing here, and is not kept."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
