"""The load generator: how it parses responses, byte by byte, and how it counts requests against a real socket."""

import asyncio
import threading
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat

import pytest

from loadtests.loadgen import LoadResult, Response, ResponseError, parse, request, run

ACCEPTED = b'HTTP/1.1 202 Accepted\r\ndate: now\r\nContent-Length: 7\r\n\r\n{"a":1}'


def test_a_request_is_what_goes_over_the_wire() -> None:
    assert request("POST", "shop", "/orders", {"prefer": "wait=5"}, b"{}") == (
        b"POST /orders HTTP/1.1\r\nhost: shop\r\nprefer: wait=5\r\ncontent-length: 2\r\n\r\n{}"
    )
    assert request("GET", "shop", "/", {}) == b"GET / HTTP/1.1\r\nhost: shop\r\n\r\n"


def test_a_header_cannot_smuggle_in_another() -> None:
    with pytest.raises(AssertionError, match="line end"):
        request("GET", "shop", "/", {"a": "b\r\nc: d"})


def test_a_response_is_complete_at_its_last_byte_and_not_before() -> None:
    for end in range(len(ACCEPTED)):
        assert parse(ACCEPTED[:end]) is None
    assert parse(ACCEPTED) == Response(202, len(ACCEPTED), closes=False)
    assert parse(ACCEPTED + b"HTTP/1.1") == Response(202, len(ACCEPTED), closes=False)


@pytest.mark.parametrize("status", [204, 304])
def test_some_statuses_have_no_body(status: int) -> None:
    response = f"HTTP/1.1 {status} x\r\n\r\n".encode()
    assert parse(response) == Response(status, len(response), closes=False)


def test_the_server_says_when_it_closes() -> None:
    response = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert parse(response) == Response(503, len(response), closes=True)


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
        b"x" * 70_000,
    ],
)
def test_an_invalid_response_is_an_error(response: bytes) -> None:
    with pytest.raises(ResponseError):
        parse(response)


def test_percentiles_are_nearest_rank() -> None:
    result = LoadResult(2.0, {200: 4}, 0, array("d", [0.001, 0.002, 0.003, 0.004]))
    assert [result.percentile_ms(p) for p in (0, 25, 50, 51, 75, 99, 100)] == [1, 1, 2, 3, 3, 4, 4]
    assert result.rate == 2.0
    empty = LoadResult(0.0, {}, 0, array("d"))
    assert (empty.percentile_ms(99), empty.rate) == (0.0, 0.0)


PING = request("GET", "shop", "/ping", {})


class Server:
    """Answers each PING in turn with the next of `answers`; None hangs up instead."""

    def __init__(self, answers: Iterable[bytes | None]) -> None:
        self._answers = iter(answers)
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readexactly(len(PING))
                self.requests += 1
                answer = next(self._answers)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def serving(answers: Iterable[bytes | None]) -> Iterator[tuple[Server, int]]:
    """The server and its port; in its own thread, since the generator has its own event loop."""
    server = Server(answers)
    with asyncio.Runner() as runner:
        listening = runner.run(asyncio.start_server(server.serve, "127.0.0.1", 0))
        port = listening.sockets[0].getsockname()[1]
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            yield server, port
        finally:
            loop.call_soon_threadsafe(listening.close)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


def test_every_request_is_sent_once_and_counted_once() -> None:
    refused = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    with serving([ACCEPTED] * 60 + [refused] * 40) as (server, port):
        result = run("127.0.0.1", port, [PING] * 100, connections=8)
    assert result.statuses == {202: 60, 503: 40}
    assert result.failed == 0
    assert server.requests == len(result.latencies) == 100
    assert result.latencies == array("d", sorted(result.latencies))


def test_a_request_without_a_response_has_failed_and_the_others_continue() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    closing = ACCEPTED.replace(b"date: now", b"connection: close")
    with serving([ACCEPTED, None, closing, chunked, *[ACCEPTED] * 6]) as (server, port):
        result = run("127.0.0.1", port, [PING] * 10, connections=1)
    assert result.statuses == {202: 8}
    assert result.failed == 2
    assert server.requests == 10


def test_a_server_that_always_hangs_up_is_given_up_on() -> None:
    with serving([None] * 20) as (server, port):
        result = run("127.0.0.1", port, [PING] * 20, connections=2)
    assert result.statuses == {}
    assert result.failed == server.requests == 6


def test_a_run_stops_sending_when_its_time_is_over() -> None:
    with serving(repeat(ACCEPTED)) as (server, port):
        result = run("127.0.0.1", port, repeat(PING), connections=4, seconds=0.1)
    assert result.failed == 0
    assert 0 < result.answered == server.requests
    assert 0.05 < result.seconds < 2.0
