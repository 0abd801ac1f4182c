"""The bounds on a request's head, and on how long a connection may stay open without progress."""

import asyncio
import json

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.server import patience
from gateway.server.http1 import HEAD_MAX_BYTES, PIPELINE_MAX_REQUESTS, QUERY_MAX_BYTES, QUERY_MAX_FIELDS, BoundedHttp
from runtime.settings import settings


class Wire(asyncio.Transport):
    """Records what is written, and whether it was closed. `untaken_bytes` is what the other side has not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False
        self.said_all = False
        self.aborted = asyncio.Event()
        self.untaken_bytes = 0

    @property
    def ended(self) -> bool:
        """Whether it is closed."""
        return self.closed or self.said_all

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.said_all
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.said_all = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.aborted.set()

    def get_write_buffer_size(self) -> int:
        return self.untaken_bytes

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Everything is fed by hand."""

    def resume_reading(self) -> None:
        """Everything is fed by hand."""


async def swallow(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that reads the body to its end and answers 204."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def connection() -> tuple[BoundedHttp, Wire]:
    config = Config(swallow, log_config=None, access_log=False)
    config.load()
    protocol = BoundedHttp(config=config, server_state=ServerState(), app_state={})
    wire = Wire()
    protocol.connection_made(wire)
    return protocol, wire


async def test_an_endless_head_is_refused_at_its_bound() -> None:
    protocol, wire = connection()
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\nx-much: ")
    fed = 0
    while not wire.ended:
        assert fed <= 2 * HEAD_MAX_BYTES
        protocol.data_received(b"x" * 4_096)
        fed += 4_096

    assert wire.written.startswith(b"HTTP/1.1 431 ")
    assert b"head_too_large" in wire.written


async def test_only_the_head_counts_and_each_request_starts_at_zero() -> None:
    protocol, wire = connection()
    for _ in range(3):
        wire.written = b""
        protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 400000\r\n\r\n")
        for _ in range(10):
            protocol.data_received(b"x" * 40_000)
        await asyncio.gather(*protocol.tasks)
        assert wire.written.startswith(b"HTTP/1.1 204 ")
    assert not wire.ended
    protocol.connection_lost(None)


async def test_trailers_are_dropped() -> None:
    protocol, wire = connection()
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    heads = list(protocol.headers)
    for _ in range(1_000):
        protocol.data_received(b"abcdefgh: 1\r\n")
    assert protocol.headers == heads
    protocol.data_received(b"\r\n")
    await asyncio.gather(*protocol.tasks)
    assert wire.written.startswith(b"HTTP/1.1 204 ")
    protocol.connection_lost(None)


async def test_a_connection_that_piles_up_requests_is_closed() -> None:
    protocol, wire = connection()
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * (PIPELINE_MAX_REQUESTS + 2))
    assert wire.ended
    assert not protocol.pipeline
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("request_bytes", "code"),
    [
        (
            b"POST / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\n{}",
            "upgrade_not_supported",
        ),
        (b"POST /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "upgrade_not_supported"),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "malformed_request"),
        (b"GET / HTTP/1.1\r\n\r\n", "invalid_host"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "invalid_host"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n", "invalid_host"),
        (b"GET / HTTP/1.1\r\nhost: a b\r\n\r\n", "invalid_host"),
        (b"GET / HTTP/1.1\r\nhost: a@b\r\n\r\n", "invalid_host"),
        (b"GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", "invalid_host"),
        (b"GET /?" + b"a&" * QUERY_MAX_FIELDS + b" HTTP/1.1\r\nhost: a\r\n\r\n", "query_too_long"),
        (b"GET /?" + b"a" * (QUERY_MAX_BYTES + 1) + b" HTTP/1.1\r\nhost: a\r\n\r\n", "query_too_long"),
        (b"\x00\x01\x02 nonsense\r\n\r\n", "malformed_request"),
    ],
)
async def test_requests_that_cannot_be_served_are_refused_with_a_problem(request_bytes: bytes, code: str) -> None:
    protocol, wire = connection()
    protocol.data_received(request_bytes)
    protocol.data_received(b"and more")
    head, _, body = wire.written.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == code
    assert wire.ended
    assert not protocol.tasks
    protocol.connection_lost(None)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0",
        b"GET / HTTP/1.1\r\nhost:",
        b"GET / HTTP/1.1\r\nhost: shop.example:8000",
        b"GET / HTTP/1.1\r\nhost: [::1]:8000",
        b"GET /?" + b"a&" * (QUERY_MAX_FIELDS - 1) + b" HTTP/1.1\r\nhost: 127.0.0.1",
    ],
)
async def test_hosts_and_queries_within_their_bounds(head: bytes) -> None:
    protocol, wire = connection()
    protocol.data_received(head + b"\r\n\r\n")
    await asyncio.gather(*protocol.tasks)
    assert wire.written.startswith(b"HTTP/1.1 204 ")
    protocol.connection_lost(None)


async def test_an_upgrade_that_is_only_offered_is_ignored() -> None:
    protocol, wire = connection()
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
    await asyncio.gather(*protocol.tasks)
    assert wire.written.startswith(b"HTTP/1.1 204 ")
    protocol.connection_lost(None)


class Looks:
    """Checks connections whenever the test says, and not before."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(patience, "LOOK_SECONDS", 3_600.0)

    def __call__(self, protocol: BoundedHttp) -> None:
        timer = protocol._looking
        assert timer is not None
        assert not timer.cancelled()
        timer.cancel()
        protocol._look()


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(monkeypatch)


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /half", id="half_a_head"),
        pytest.param(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{", id="half_a_body"),
        pytest.param(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;", id="half_a_chunk"),
        pytest.param(b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET /half", id="half_a_second_head"),
    ],
)
async def test_a_client_that_does_not_send_its_request_in_time_is_disconnected(look: Looks, begun: bytes) -> None:
    """However steadily the rest trickles in."""
    protocol, wire = connection()
    if begun:
        protocol.data_received(begun)
    if begun.startswith(b"GET / HTTP/1.1"):
        await asyncio.gather(*protocol.tasks)
    config = settings()
    in_body = begun.startswith(b"POST")
    protocol._since -= (config.request_body_seconds if in_body else config.request_head_seconds) - 1
    if begun:
        protocol.data_received(b"1")
    look(protocol)
    assert not wire.ended
    protocol._since -= 2
    look(protocol)
    assert wire.ended
    assert b"HTTP/1.1 408 " in wire.written
    assert b"The body of" in wire.written if in_body else b"The head of" in wire.written
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)


async def test_an_upload_has_a_deadline_of_its_own_and_only_that_one(look: Looks) -> None:
    protocol, wire = connection()
    for seconds_over, allowed in ((0, 100_000.0), (1, None)):
        protocol.data_received(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{")
        if allowed is not None:
            protocol.may_send_for(allowed)
        protocol._since -= settings().request_body_seconds + 1
        look(protocol)
        assert wire.ended == bool(seconds_over)
        if not wire.ended:
            protocol.data_received(b"}")
            await asyncio.gather(*protocol.tasks)
    protocol.connection_lost(None)
    await asyncio.gather(*protocol.tasks)


async def test_a_connection_that_nothing_waits_for_is_left_alone(look: Looks) -> None:
    """Between two requests, and after a slow response."""
    protocol, wire = connection()
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    protocol.data_received(b"GET / HTT")
    protocol._since -= 100_000
    look(protocol)
    await asyncio.gather(*protocol.tasks)
    look(protocol)
    assert not wire.ended
    protocol.data_received(b"P/1.1\r\nhost: x\r\n\r\n")
    await asyncio.gather(*protocol.tasks)
    protocol._since -= 100_000
    look(protocol)
    assert not wire.ended
    protocol.connection_lost(None)


async def test_a_client_that_does_not_read_its_response_is_disconnected(look: Looks) -> None:
    protocol, wire = connection()
    protocol.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.gather(*protocol.tasks)
    protocol.pause_writing()
    for wire.untaken_bytes in (300_000, 200_000, 100_000):
        for _ in range(patience.STUCK_LOOKS):
            look(protocol)
            assert not wire.aborted.is_set(), "something is taken now and then"
    look(protocol)
    assert wire.aborted.is_set()
    protocol.connection_lost(None)


async def test_a_closed_connection_is_not_checked(look: Looks) -> None:
    protocol, _ = connection()
    timer = protocol._looking
    protocol.connection_lost(None)
    assert timer is not None
    assert timer.cancelled()
