"""A TCP proxy on this machine that can silently forget connections, as a firewall does, or a server whose address moves
to another one: nothing arrives on them any more, neither data nor their end, and new ones work. It can also cut
connections, and delay whatever the server says.
"""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

_PIECE_BYTES: Final = 65_536
_T = TypeVar("_T")


class Proxy:
    """`with Proxy(port) as proxy:` forwards `proxy.port` to that port of 127.0.0.1, in its own thread."""

    def __init__(self, target: int) -> None:
        self.delay_seconds = 0.0
        """How long each answer of the server is delayed."""
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy to {target}", daemon=True)
        self._forgotten: list[asyncio.StreamWriter] = []
        self._open: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._server: asyncio.Server
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._await(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._await(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def forget(self) -> int:
        """Silences all connections that are open now; returns how many there are."""
        return self._await(self._forget())

    def cut(self) -> int:
        """Resets all connections that are open now; returns how many there are."""
        return self._await(self._cut())

    def leads_to(self, url: str) -> str:
        """A server's URL, with our port in place of its own."""
        return url.replace(f":{self._target}/", f":{self.port}/")

    def _await(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        self._server.close()
        await self._forget()
        for writer in self._forgotten:
            writer.transport.abort()

    async def _forget(self) -> int:
        serving, self._open = self._open, {}
        for task, writers in serving.items():
            self._forgotten += writers
            task.cancel()
        return len(serving)

    async def _cut(self) -> int:
        serving = list(self._open.values())
        for writers in serving:
            for writer in writers:
                writer.transport.abort()
        return len(serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pumping = asyncio.ensure_future(self._pump_both(_pump(reader, back), self._pump_late(there, writer)))
        self._open[pumping] = [writer, back]
        await asyncio.wait({pumping})
        if self._open.pop(pumping, None) is not None:
            for each in (writer, back):
                each.transport.abort()

    async def _pump_late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE_BYTES):
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            writer.write(data)
            await writer.drain()

    @staticmethod
    async def _pump_both(*ways: Coroutine[Any, Any, None]) -> None:
        """Copies until either side closes."""
        pumps = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE_BYTES):
        writer.write(data)
        await writer.drain()
