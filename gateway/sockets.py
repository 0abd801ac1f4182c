"""The WebSocket `/ws`: the event log for staff, from any seq, and on as it grows.

Frames are JSON arrays of CloudEvents in seq order. A reader too slow for its bounded queue is closed with 4008, and
the reason names the seq to resume from; at shutdown uvicorn closes all with 1012.
"""

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import msgspec
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from gateway.edge import Edge
from gateway.problems import Problem
from gateway.tail import Follower
from gateway.views import log
from runtime.database import VIEW_FAILED
from runtime.metrics import SOCKETS
from runtime.records import EventRecord, cloud_event

CLOSE_TRY_LATER = 1013
CLOSE_BAD_REQUEST = 4400
CLOSE_UNAUTHENTICATED = 4401
CLOSE_FORBIDDEN = 4403
CLOSE_TOO_SLOW = 4008

_REPLAY_EVENTS: Final = 1_000
_SEQ: Final = re.compile("[0-9]{1,18}")

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


@router.websocket("/ws")
async def stream_events(socket: WebSocket) -> None:
    """`?token=` or an Authorization header; `?after=SEQ` to resume, else from now on."""
    edge: Edge = socket.app.state.edge
    sockets: Sockets = socket.app.state.sockets
    with suppress(WebSocketDisconnect):  # gone before it was served: nobody to tell
        await socket.accept()
        refusal = _refusal(edge, sockets, socket)
        if refusal is not None:
            await socket.close(*refusal)
            return
        with sockets.one_more():
            await _serve(edge, socket)


async def _serve(edge: Edge, socket: WebSocket) -> None:
    """Sends events until one side has enough."""
    try:
        follower = await edge.tail.follow(queue_max_events=edge.config.socket_queue_max_events)
    except VIEW_FAILED:
        await socket.close(CLOSE_TRY_LATER, "the log cannot be read now")
        return
    after = int(socket.query_params.get("after", follower.after))
    tasks = asyncio.create_task(_send(edge, socket, follower, after)), asyncio.create_task(_hear(socket))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        edge.tail.unfollow(follower)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _refusal(edge: Edge, sockets: Sockets, socket: WebSocket) -> tuple[int, str] | None:
    """Why this socket is not served, as a close code and reason."""
    if sockets.open >= edge.config.socket_max_connections:
        return CLOSE_TRY_LATER, "too many sockets"
    if not _SEQ.fullmatch(socket.query_params.get("after", "0")):
        return CLOSE_BAD_REQUEST, "`after` is a seq"
    token = socket.query_params.get("token")
    try:
        who = edge.authenticator.who_of_token(token) if token else edge.authenticator.who(socket.headers)
    except Problem as problem:
        return (CLOSE_FORBIDDEN if problem.code == "forbidden" else CLOSE_UNAUTHENTICATED), problem.code
    return None if who.staff else (CLOSE_FORBIDDEN, "forbidden")


async def _send(edge: Edge, socket: WebSocket, follower: Follower, after: int) -> None:
    """First the log up to where the follower began, then what the follower gets."""
    sent = after
    with suppress(WebSocketDisconnect, RuntimeError):  # gone while we were sending: nobody to tell
        try:
            while sent < follower.after:
                async with edge.engine.connect() as connection:
                    records = await log.read(connection, sent, _REPLAY_EVENTS)
                sent = await _frame(socket, [record for record in records if record.seq <= follower.after], sent)
        except VIEW_FAILED:
            await socket.close(CLOSE_TRY_LATER, f"the log cannot be read now; resume after {sent}")
            return
        while records := await follower.take():
            sent = await _frame(socket, [record for record in records if record.seq > sent], sent)
        await socket.close(CLOSE_TOO_SLOW, f"too slow; resume after {sent}")


async def _frame(socket: WebSocket, records: list[EventRecord], sent: int) -> int:
    """Sends the records as one frame; returns the last seq sent."""
    if not records:
        return sent
    await socket.send_text(msgspec.json.encode([cloud_event(record) for record in records]).decode())
    return records[-1].seq


async def _hear(socket: WebSocket) -> None:
    """Ends when the client goes. What it says means nothing here, and is not kept."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
