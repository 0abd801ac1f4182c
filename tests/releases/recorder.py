"""A TCP proxy in front of Postgres that writes down what is said through it."""

from __future__ import annotations

import asyncio
import itertools
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from tests.releases.wire import (
    CANCEL_REQUEST,
    HEAD_BYTES,
    SSL_REQUEST,
    Exchange,
    Message,
    head,
    note,
    parameters,
)

_GONE: Final = (OSError, EOFError)
_OWN: Final = {"user", "database"}
_TERMINATE: Final = b"X"
_READY: Final = b"Z"
_T = TypeVar("_T")


class Recorder:
    """`with Recorder(port) as recorder:` forwards `recorder.port` to that port of 127.0.0.1, in a thread of its own."""

    def __init__(self, target: int) -> None:
        self.sessions: list[dict[str, str]] = []
        self._target = target
        self._answered: dict[int, tuple[int, Exchange]] = {}
        self._places = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._await(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._await(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def leads_to(self, url: str) -> str:
        """A server's URL, with our port in place of its own."""
        return url.replace(f":{self._target}/", f":{self.port}/")

    def exchanges(self) -> list[Exchange]:
        """All that was answered until now, in that order."""
        return [exchange for _, exchange in sorted(self._answered.values(), key=lambda each: each[0])]

    def _await(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                with suppress(*_GONE):
                    await self._follow(reader, writer, there, back)
            finally:
                back.close()
        finally:
            writer.close()
            self._serving.discard(task)

    async def _follow(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        back: asyncio.StreamWriter,
    ) -> None:
        first = await reader.readexactly(8)
        length, code = struct.unpack("!II", first)
        if code == SSL_REQUEST:
            writer.write(b"N")
            first = await reader.readexactly(8)
            length, code = struct.unpack("!II", first)
        rest = await reader.readexactly(length - 8)
        back.write(first + rest)
        if code == CANCEL_REQUEST:
            await back.drain()
            return
        session = _Session(len(self.sessions), self)
        self.sessions.append({name: value for name, value in parameters(rest).items() if name not in _OWN})
        ways = (_pump(reader, back, session.says), _pump(there, writer, session.hears))
        pumps = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def note_answer(self, exchange: Exchange) -> None:
        """Notes an answer, or more of one: the exchange is ordered after those answered before."""
        self._answered[id(exchange)] = (next(self._places), exchange)


class _Session:
    """One connection, from its first ReadyForQuery on."""

    def __init__(self, number: int, recorder: Recorder) -> None:
        self._number = number
        self._recorder = recorder
        self._is_open = False
        self._exchange = Exchange(number, b"", [], "")

    def says(self, message: Message) -> None:
        if not self._is_open or message.type == _TERMINATE:
            return
        if self._exchange.last:
            self._exchange = Exchange(self._number, b"", [], "")
        self._exchange.said += message.encode()

    def hears(self, message: Message) -> None:
        if not self._is_open:
            self._is_open = message.type == _READY
            return
        note(self._exchange, message)
        if self._exchange.last:
            self._recorder.note_answer(self._exchange)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Any) -> None:
    with suppress(*_GONE):
        while True:
            said = await reader.readexactly(HEAD_BYTES)
            kind, size = head(said)
            payload = await reader.readexactly(size)
            tell(Message(kind, payload))
            writer.write(said + payload)
            await writer.drain()
