"""A lean HTTP/1.1 load generator: keep-alive connections, one request in flight on each, requests as prepared bytes.

Costs little next to the server it shares a machine with (a few microseconds a request: no header objects, no coroutine
per request) and counts every request exactly once, by its status or as failed. It reads responses with Content-Length,
as JSON APIs send them; any other framing is a failed request rather than a guess. Retries, cookies and redirects are
left to real clients. Run it in a separate process from the server.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from math import inf
from time import perf_counter
from typing import Final, cast

import msgspec
import uvloop

from loadtests.percentiles import nearest_rank

HEAD_MAX_BYTES: Final = 65_536
BODY_MAX_BYTES: Final = 16_777_216
RECONNECTS_MAX: Final = 3  # in a row, by one connection, without a response in between; then it gives up
STALL_SECONDS: Final = 30.0  # a run ends if nothing is answered for this long

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_CLOSE = b"\r\nconnection: close"


class ResponseError(ValueError):
    """Not an HTTP/1.1 response with Content-Length, or larger than a load test expects."""


class Response(msgspec.Struct, frozen=True, gc=False):
    """A response: its status, where it ends in the buffer, and whether the server will close the connection."""

    status: int
    end: int
    closes: bool


class LoadResult(msgspec.Struct, frozen=True):
    """The result of a run. `seconds` is from the first request to the last response; `latencies` are in seconds,
    sorted."""

    seconds: float
    statuses: dict[int, int]
    failed: int
    latencies: array[float]

    @property
    def answered(self) -> int:
        return sum(self.statuses.values())

    @property
    def rate(self) -> float:
        """Responses per second, whatever their status."""
        return self.answered / self.seconds if self.seconds else 0.0

    def percentile_ms(self, percent: float) -> float:
        """The latency in milliseconds that `percent` (0..100) of the responses did not exceed; 0.0 without any."""
        return nearest_rank(self.latencies, percent) * 1000


def request(method: str, host: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A request as it is sent. Header values are not escaped, so they must not contain line ends."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
    assert not any("\r" in line or "\n" in line for line in lines), "a line end in a header"
    return "\r\n".join(lines).encode() + _HEAD_END + body


def parse(buffer: bytes) -> Response | None:
    """The response at the beginning of `buffer`, or None while it is incomplete. Raises ResponseError."""
    head_end = buffer.find(_HEAD_END)
    if head_end < 0:
        if len(buffer) > HEAD_MAX_BYTES:
            raise ResponseError(f"a response head of more than {HEAD_MAX_BYTES} bytes")
        return None
    if not buffer.startswith(b"HTTP/1.") or not buffer[9:12].isdigit():
        raise ResponseError(f"no HTTP/1 status line: {buffer[:32]!r}")
    status = int(buffer[9:12])
    head = buffer[: head_end + 2].lower()
    body_start = head_end + len(_HEAD_END)
    end = body_start + (0 if status in (204, 304) else _content_length(head))
    return Response(status, end, _CLOSE in head) if len(buffer) >= end else None


def _content_length(head: bytes) -> int:
    at = head.find(_LENGTH)
    if at < 0:
        raise ResponseError("a response without Content-Length")
    digits = head[at + len(_LENGTH) : head.index(b"\r\n", at + 2)].strip()
    if not digits.isdigit() or int(digits) > BODY_MAX_BYTES:
        raise ResponseError(f"an invalid or too large Content-Length: {digits[:32]!r}")
    return int(digits)


def run(
    host: str,
    port: int,
    requests: Iterable[bytes],
    *,
    connections: int,
    seconds: float = inf,
) -> LoadResult:
    """Sends each of `requests` once, in order, over `connections` sockets; ends when all are sent and answered, or
    stops sending after `seconds` and waits for outstanding responses. Blocks; needs a thread without a running event
    loop.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_Run((host, port), iter(requests), connections, seconds).go())


class _Run:
    """The state that all connections of one run share."""

    def __init__(self, address: tuple[str, int], requests: Iterator[bytes], connections: int, seconds: float) -> None:
        self._address = address
        self._requests = requests
        self._connections = [_Connection(self) for _ in range(connections)]
        self._seconds = seconds
        self._open = connections
        self._deadline = self._last_answer = 0.0
        self._statuses: Counter[int] = Counter()
        self._latencies = array("d")
        self.failed = 0
        self.started = False

    async def go(self) -> LoadResult:
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        for connection in self._connections:
            await self._connect(connection)
        started_at = self._last_answer = perf_counter()
        self._deadline = started_at + self._seconds
        self.started = True
        for connection in self._connections:
            connection.send_next()
        self._end_if_stalled()
        await self._done
        for connection in self._connections:
            connection.close()
        return LoadResult(
            seconds=self._last_answer - started_at,
            statuses=dict(self._statuses),
            failed=self.failed,
            latencies=array("d", sorted(self._latencies)),
        )

    def next_request(self, now: float) -> bytes | None:
        return next(self._requests, None) if now < self._deadline else None

    def answered(self, status: int, latency: float, now: float) -> None:
        self._statuses[status] += 1
        self._latencies.append(latency)
        self._last_answer = now

    def one_finished(self) -> None:
        """Called when a connection has nothing more to send."""
        self._open -= 1
        if self._open == 0 and not self._done.done():
            self._done.set_result(None)

    def reconnect(self, connection: _Connection) -> None:
        async def reconnected() -> None:
            try:
                await self._connect(connection)
            except OSError:
                connection.finish()

        connection.reconnecting = self._loop.create_task(reconnected())

    async def _connect(self, connection: _Connection) -> None:
        await self._loop.create_connection(lambda: connection, *self._address)

    def _end_if_stalled(self) -> None:
        if self._done.done():
            return
        if perf_counter() - self._last_answer > STALL_SECONDS:
            self.failed += sum(connection.in_flight for connection in self._connections)
            self._done.set_result(None)
        else:
            self._loop.call_later(1.0, self._end_if_stalled)


class _Connection(asyncio.Protocol):
    """One socket: sends a request, waits for its response, sends the next."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._transport: asyncio.WriteTransport | None = None
        self._buffer = b""
        self._sent_at: float | None = None
        self._finished = False
        self._reconnects_left = RECONNECTS_MAX
        self.reconnecting: asyncio.Task[None] | None = None

    @property
    def in_flight(self) -> bool:
        return self._sent_at is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        if self._run.started:
            self.send_next()

    def send_next(self) -> None:
        assert self._sent_at is None, "one request in flight on each connection"
        if self._transport is None:  # lost before the first request; it is reconnecting
            return
        now = perf_counter()
        data = self._run.next_request(now)
        if data is None:
            self.finish()
        else:
            self._sent_at = now
            self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        try:
            response = parse(data)
        except ResponseError:
            self.close()
            return
        if response is None:
            self._buffer = data
        elif self._sent_at is None or response.end != len(data):
            self.close()  # more than the one expected response
        else:
            now = perf_counter()
            self._run.answered(response.status, now - self._sent_at, now)
            self._sent_at, self._buffer, self._reconnects_left = None, b"", RECONNECTS_MAX
            if response.closes:
                self.close()
            else:
                self.send_next()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._finished:
            return
        self._run.failed += self.in_flight
        self._sent_at, self._buffer = None, b""
        self._reconnects_left -= 1
        if self._reconnects_left > 0:
            self._run.reconnect(self)
        else:
            self.finish()

    def finish(self) -> None:
        """Marks that nothing more will be sent on this connection."""
        self._finished = True
        self.close()
        self._run.one_finished()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
