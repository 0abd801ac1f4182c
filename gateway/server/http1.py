"""uvicorn's HTTP/1.1, with the bounds that httptools lacks, and problem documents for malformed requests.

`uvicorn --http gateway.server.http1:BoundedHttp`. Bodies are bounded in `gateway.web.requests`, where a proper response
can be sent.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import ClassVar, Final, cast, get_args

from uvicorn.protocols.http import httptools_impl

from gateway.limits.requests import PROXY
from gateway.server import connections
from gateway.server.corked import CorkedTransport
from gateway.server.heads import Cycle
from gateway.server.patience import Part, PatientHttp
from gateway.server.stopping import turn
from gateway.server.websocket import BoundedWebSocket
from gateway.web.problems import Problem
from runtime.addresses import network_of

HEAD_MAX_BYTES: Final = 65_536
"""Request line and headers together. It is checked whenever data arrives, so one read (some 256 KiB) may exceed it."""

QUERY_MAX_BYTES: Final = 8_192
QUERY_MAX_FIELDS: Final = 100
"""Bounds of a query, checked before it is parsed, because it is parsed before the caller is known."""

PIPELINE_MAX_REQUESTS: Final = 1_000
"""How many pipelined requests may wait for those before them. Reading pauses while any wait; if a single read brings
more than this, the connection is closed."""

CONNECTION: Final = "tidegate.connection"
"""The key in a request's scope for the BoundedHttp that received it."""


def _refusal(code: str, detail: str) -> bytes:
    """The bytes of a problem response, after which the connection is closed."""
    answer = Problem(code, detail, headers={"Connection": "close"}).response()
    head = b"HTTP/1.1 %d %s\r\n" % (answer.status_code, HTTPStatus(answer.status_code).phrase.encode())
    headers = b"".join(b"%s: %s\r\n" % header for header in answer.raw_headers)
    return head + headers + b"\r\n" + bytes(answer.body)


_HEAD_TOO_LARGE: Final = _refusal(
    "head_too_large", f"The request line and headers may have at most {HEAD_MAX_BYTES} bytes together."
)
_MALFORMED: Final = _refusal("malformed_request", "This is not a valid HTTP/1.1 request.")
_INVALID_HOST: Final = _refusal("invalid_host", "A request must have exactly one valid Host header (RFC 9112, 3.2).")
_QUERY_TOO_LONG: Final = _refusal(
    "query_too_long", f"A query may have at most {QUERY_MAX_BYTES} bytes and {QUERY_MAX_FIELDS} fields."
)
_UPGRADE_REFUSED: Final = _refusal(
    "upgrade_not_supported",
    "Send this without an Upgrade header: only WebSocket is supported, and its handshake is a GET.",
)
_TOO_SLOW: Final[Mapping[Part, bytes]] = {
    part: _refusal("request_timeout", f"The {part} of the request did not arrive in time.") for part in get_args(Part)
}
_CROWDED: Final[Mapping[connections.Refused, bytes]] = {
    "all": _refusal("too_many_connections", "There are too many connections; try again soon."),
    "address": _refusal("too_many_connections", "There are too many connections from your address."),
}

# RFC 3986, 3.2.2: a name, an address, or an IPv6 address in brackets; and a port.
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")

# How many clients that are turned away get time to read the reason, and how long.
_LINGERING_MAX: Final = 32
_TURNED_AWAY_SECONDS: Final = 1.0

httptools_impl.RequestResponseCycle = Cycle  # type: ignore[misc]  # uvicorn has no other place to name it


class BoundedHttp(PatientHttp):
    """Answers what it rejects with a problem document, and closes the connection."""

    limited: ClassVar[bool] = True
    """Whether its connections count towards the bounds on clients."""

    at_shutdown: Callable[[], None] | None = None
    """Called when the gateway stops, to end an endless response."""

    _in_head = True
    _head_bytes = 0
    _address: str | None = None
    _proxy: str | None = None
    _entered = False
    _turned_away = False
    _parting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(cast("asyncio.Transport", CorkedTransport(transport, self.loop)))
        if not self.limited:
            return
        # A proxy's connections serve many clients.
        if self.client is not None:
            if self.client[0] in getattr(self.app, "trusted_hosts", ()):
                self._proxy = self.client[0]
            else:
                self._address = network_of(self.client[0])
        refused = connections.crowd().enter(self._address)
        self._entered = refused is None
        if refused is not None:
            self._turn_away(_CROWDED[refused])

    def _turn_away(self, answer: bytes) -> None:
        """Sends the reason, and gives a bounded number of clients time to read it: if a connection is closed while data
        from the client is still unread, the client's system may discard the response."""
        self._turned_away = True
        self._look_no_more()
        if self.cycle is not None and not self.cycle.response_complete:  # its response comes too late
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
        self.pipeline.clear()
        self.transport.write(answer)
        if connections.crowd().lingering < _LINGERING_MAX:
            connections.crowd().lingering += 1
            self.transport.write_eof()
            self._parting = self.loop.call_later(_TURNED_AWAY_SECONDS, self.transport.abort)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._parting is not None:
            connections.crowd().lingering -= 1
            self._parting.cancel()
        if self._entered:
            connections.crowd().leave(self._address)

    def handle_websocket_upgrade(self) -> None:
        self.transport = cast("CorkedTransport", self.transport).uncork()
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if self._entered and isinstance(protocol, BoundedWebSocket):
            protocol.at_end = partial(connections.crowd().leave, self._address)

    def give_up(self, part: Part) -> None:
        if part == "head" or not self.cycle.response_started:
            self._turn_away(_TOO_SLOW[part])
        else:
            super().give_up(part)

    def shutdown(self) -> None:
        super().shutdown()
        if self.at_shutdown is not None:
            self.loop.call_later(turn(len(self.connections)), self._end_response)

    def _end_response(self) -> None:
        if self.at_shutdown is not None:
            self.at_shutdown()

    def cut(self) -> None:
        """Aborts the connection; what has not been sent is lost."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._turned_away or self.transport.is_closing():
            return
        if self._in_head and self._head_bytes > HEAD_MAX_BYTES:
            self._turn_away(_HEAD_TOO_LARGE)
            return
        self._head_bytes += len(data)
        super().data_received(data)
        if len(self.pipeline) > PIPELINE_MAX_REQUESTS:
            self.pipeline.clear()
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # otherwise it is a trailer of a chunked body, which is not read and would be unbounded
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if not self._names_a_host():
            self._turn_away(_INVALID_HOST)
            raise ValueError("the parser is to stop here")
        query = self.url.partition(b"?")[2]
        if query and (len(query) > QUERY_MAX_BYTES or query.count(b"&") >= QUERY_MAX_FIELDS):
            self._turn_away(_QUERY_TOO_LONG)
            raise ValueError("the parser is to stop here")
        upgrades = self.parser.should_upgrade()
        if upgrades and not self._may_upgrade():
            self._turn_away(_UPGRADE_REFUSED)
            raise ValueError("the parser is to stop here")
        super().on_headers_complete()
        self.scope[CONNECTION] = self  # type: ignore[typeddict-unknown-key]  # the request's own, begun a moment later
        self.scope[PROXY] = self._proxy  # type: ignore[typeddict-unknown-key]
        if upgrades and not self._should_upgrade():
            self.cycle.keep_alive = False  # the parser takes nothing more from this connection

    def on_message_complete(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.pipeline:  # uvicorn resumes reading at every response, however many requests are waiting
            self.flow.pause_reading()

    def send_400_response(self, msg: str) -> None:
        if not self._turned_away and not self.transport.is_closing():
            self._turn_away(_MALFORMED)

    def _names_a_host(self) -> bool:
        """RFC 9112, 3.2: exactly one valid Host; HTTP/1.0 may omit it."""
        hosts = [value for name, value in self.headers if name == b"host"]
        if not hosts:
            return bool(self.parser.get_http_version() == "1.0")
        return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None

    def _may_upgrade(self) -> bool:
        """After the head of a request with an Upgrade header, httptools parses nothing, not even the body."""
        if self._should_upgrade():
            return bool(self.parser.get_method() == b"GET")
        headers = dict(self.headers)
        return b"transfer-encoding" not in headers and headers.get(b"content-length", b"0") == b"0"
