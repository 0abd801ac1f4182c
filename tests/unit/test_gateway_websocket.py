"""What uvicorn's WebSockets leave open, and ours do not."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.server import rate, websocket
from gateway.server.websocket import FRAMES_BURST, BoundedWebSocket
from tests import pace
from tests.e2e.wire import CONTINUED, PING, TEXT, frame
from tests.unit.test_gateway_http1 import Wire

_HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Heard:
    """An app that reads messages until `close`."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            self.messages.append(message["text"])
            if message["text"] == "close":
                await send({"type": "websocket.close", "code": 4008, "reason": "slow"})
                return


async def connected(app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> tuple[BoundedWebSocket, Wire]:
    config = Config(app, log_config=None)
    config.load()
    protocol = BoundedWebSocket(config=config, server_state=ServerState(), app_state={})
    wire = Wire()
    protocol.connection_made(wire)
    protocol.data_received(_HANDSHAKE)
    await turns()
    assert wire.written.startswith(b"HTTP/1.1 101")
    return protocol, wire


async def turns() -> None:
    """Lets everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def ended(protocol: BoundedWebSocket) -> None:
    protocol.connection_lost(None)
    await turns()


async def test_a_message_arrives_however_it_is_fragmented() -> None:
    heard = Heard()
    protocol, _ = await connected(heard)
    text = "🌊" * 10_000
    protocol.data_received(frame(TEXT, text.encode()))
    await turns()
    whole = text.encode()
    protocol.data_received(frame(TEXT, whole[:5], last=False) + frame(PING) + frame(CONTINUED, whole[5:]))
    await turns()
    assert heard.messages == [text, text]
    await ended(protocol)


@pytest.mark.parametrize("opcode", [PING, TEXT, CONTINUED])
async def test_frames_have_a_bound(opcode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate, "time", SimpleNamespace(monotonic=lambda: 0.0))  # no new allowance meanwhile
    protocol, wire = await connected(Heard())
    if opcode == CONTINUED:
        protocol.data_received(frame(TEXT, last=False))
    flood = frame(opcode, last=opcode != CONTINUED) * (2 * FRAMES_BURST)
    protocol.data_received(flood)
    assert wire.closed
    assert (4429).to_bytes(2, "big") + b"too many frames" in wire.written
    assert protocol.queue.qsize() <= FRAMES_BURST + 2
    assert len(protocol.frames) <= FRAMES_BURST + 1
    await ended(protocol)


async def test_invalid_utf8_closes_it_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    protocol, wire = await connected(heard)
    protocol.data_received(frame(TEXT, b"\xff\xfe"))
    assert (1007).to_bytes(2, "big") in wire.written
    assert wire.closed
    await ended(protocol)
    assert not caplog.records
    assert not heard.messages


async def test_a_client_that_reads_nothing_gets_the_close_code_and_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.01)
    protocol, wire = await connected(Heard())
    protocol.pause_writing()
    protocol.data_received(frame(TEXT, b"close"))
    await turns()
    assert wire.written.endswith((4008).to_bytes(2, "big") + b"slow")
    async with pace.timeout(5):
        await wire.aborted.wait()
    await ended(protocol)


async def test_a_closed_connection_is_not_aborted_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "CLOSE_SECONDS", 0.01)
    protocol, wire = await connected(Heard())
    protocol.data_received(frame(TEXT, b"close"))
    await turns()
    await ended(protocol)
    assert protocol._letting_go is not None
    assert protocol._letting_go.cancelled()
    assert not wire.aborted.is_set()


async def test_a_client_that_does_not_answer_pings_is_disconnected() -> None:
    protocol, wire = await connected(Heard())
    protocol.send_keepalive_ping()
    protocol.keepalive_timeout()
    assert wire.aborted.is_set()
    await ended(protocol)


async def test_at_shutdown_a_socket_is_closed_in_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns_of: list[int] = []

    def turn(sockets: int) -> float:
        turns_of.append(sockets)
        return 0.02

    monkeypatch.setattr(websocket, "turn", turn)
    protocol, wire = await connected(Heard())
    wire.written = b""
    protocol.shutdown()
    await turns()
    assert turns_of == [1]
    assert wire.written == b"", "not yet"
    await asyncio.sleep(0.05)
    assert wire.written == b"\x88\x02" + (1012).to_bytes(2)
    await ended(protocol)


async def test_a_socket_that_is_gone_before_its_turn_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "turn", lambda sockets: 0.01)
    protocol, wire = await connected(Heard())
    protocol.shutdown()
    wire.written = b""
    await ended(protocol)
    await asyncio.sleep(0.03)
    assert wire.written == b""
