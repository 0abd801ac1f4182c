"""Heads of responses are those that uvicorn would write, and as invalid to it as to us."""

import asyncio
import logging
from typing import Any, cast

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.server.heads import Cycle
from tests.unit.test_gateway_http1 import Wire

LENGTH = (b"content-length", b"2")


async def answer(
    kind: type[RequestResponseCycle],
    status: int,
    headers: list[tuple[bytes, bytes]],
    *,
    method: str = "GET",
    keep_alive: bool = True,
) -> tuple[bytes, bool, bool]:
    """What is written for a response of two bytes, if it may have any; whether the connection goes on; and whether it
    is closed."""
    wire = Wire()
    logger = logging.getLogger(__name__)
    cycle = kind(
        scope=cast("Any", {"type": "http", "method": method}),
        transport=wire,
        flow=FlowControl(wire),
        logger=logger,
        access_logger=logger,
        access_log=False,
        default_headers=[(b"date", b"now")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )
    body = b"" if status in (204, 304) else b"{}"
    await cycle.send({"type": "http.response.start", "status": status, "headers": headers})
    await cycle.send({"type": "http.response.body", "body": body})
    return wire.written, cycle.keep_alive, wire.closed


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (200, [LENGTH]),
        (200, [(b"Content-Length", b"2"), (b"X-Mixed", b"Case"), (b"x-mixed", b"case")]),
        (201, [(b"x-tab", b"a\tb"), (b"x-latin", b"\xe4"), (b"x-nothing", b""), LENGTH]),
        (202, []),
        (204, []),
        (304, [(b"etag", b'"1"')]),
        (200, [(b"transfer-encoding", b"Chunked")]),
        (200, [(b"connection", b"close"), LENGTH]),
        (503, [(b"Connection", b"upgrade, Close"), LENGTH]),
        (200, [(b"connection", b"keep-alive"), LENGTH]),
    ],
)
async def test_a_head_is_the_one_that_uvicorn_writes(
    method: str, keep_alive: bool, status: int, headers: list[tuple[bytes, bytes]]
) -> None:
    theirs = await answer(RequestResponseCycle, status, headers, method=method, keep_alive=keep_alive)
    for _ in range(2):  # names are remembered
        assert await answer(Cycle, status, headers, method=method, keep_alive=keep_alive) == theirs


_CONTROLS = [bytes([code]) for code in (*range(9), *range(10, 32), 127)]


@pytest.mark.parametrize(
    "header",
    [
        *[(b"x-value", b"a" + control + b"b") for control in _CONTROLS],
        (b"x-value", b"a\r\nx-more: b"),
        (b"content-length", b"2\n"),
        *[(b"x" + control + b"name", b"a") for control in (*_CONTROLS, b" ", b":", b"\t", b"(", b'"')],
    ],
)
async def test_a_header_that_is_invalid_to_uvicorn_is_refused(header: tuple[bytes, bytes]) -> None:
    for kind in (RequestResponseCycle, Cycle):
        with pytest.raises(RuntimeError, match="Invalid HTTP header"):
            await answer(kind, 200, [LENGTH, header] if header[0] != b"content-length" else [header])
