"""A TCP proxy of this machine that can forget connections without a word, as a firewall does, or as a server does whose
address moves to another one: nobody hears anything on them any more, neither data nor an end, and new ones work.
"""

import asyncio
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

_PIECE_BYTES: Final = 65_536
_T = TypeVar("_T")


class Proxy:
    """`with Proxy(port) as proxy:` leads to that port of 127.0.0.1 from `proxy.port`, in a thread of its own."""

    def __init__(self, target: int) -> None:
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
        """Nothing goes through any of the connections that are open now; returns how many that are."""
        return self._await(self._forget())

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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pumping = asyncio.ensure_future(self._pump_both((reader, back), (there, writer)))
        self._open[pumping] = [writer, back]
        await asyncio.wait({pumping})
        if self._open.pop(pumping, None) is not None:
            for each in (writer, back):
                each.transport.abort()

    @staticmethod
    async def _pump_both(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """Until one side ends it."""
        pumps = [asyncio.ensure_future(_pump(*way)) for way in ways]
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
