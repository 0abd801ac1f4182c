"""Exports: a query's rows as a CSV file of any length, streamed from one consistent snapshot.

Only one batch of rows is in memory at a time. A database connection is held while the file is being sent, so everything
is bounded: the number of concurrent exports, how long each may take, and how long its reader may stall. A file that
cannot be sent completely ends without HTTP's end marker, so that no client takes it for complete.
"""

from __future__ import annotations

import asyncio
import csv
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from fastapi import Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.types import Receive, Scope, Send

from gateway.web.problems import Problem
from gateway.web.reads import Reads, seq_at_least
from runtime.engine import VIEW_FAILED, in_transaction
from runtime.listings.columns import UTF8_MARK

_log = logging.getLogger(__name__)

# Few enough that even the longest rows together are only some megabytes; and how much is handed to the socket at once,
# so that any progress of the reader is noticed.
_ROWS_AT_ONCE: Final = 200
_PIECE_BYTES: Final = 262_144


class Sheet(NamedTuple):
    """A file: the names of its columns, the query for its rows, and the function that converts a row to cells."""

    filename: str
    columns: Sequence[str]
    query: sa.Select[Any]
    cells: Callable[[Any], Sequence[object]]


class Exports:
    """The exports of one gateway process."""

    def __init__(self, reads: Reads, *, max_concurrent: int, max_seconds: float, stall_seconds: float) -> None:
        self._reads = reads
        self._max_concurrent = max_concurrent
        self._max_seconds = max_seconds
        self._stall_seconds = stall_seconds
        self._running = 0

    async def begin(self, request: Request, sheet: Sheet, *, marked: bool = False) -> Response:
        """The response with the file. Its first rows are already read, so that database errors show before the response
        begins. If `marked`, the file begins with a byte order mark. Raises a 503 Problem if too many are running."""
        seq = seq_at_least(request)
        if self._running >= self._max_concurrent:
            raise Problem("exports_busy", "Too many exports are running; try again soon.")
        self._running += 1
        async with AsyncExitStack() as stack:
            stack.callback(self._end)
            first, rows = await self._reads.hold(stack, seq, partial(_begun, sheet.query, self._max_seconds))
            return _Export(sheet, first, rows, stack.pop_all(), self._max_seconds, self._stall_seconds, marked)

    def _end(self) -> None:
        self._running -= 1


async def _begun(
    query: sa.Select[Any], max_seconds: float, connection: AsyncConnection
) -> tuple[Sequence[Any], AsyncIterator[Sequence[Any]]]:
    """The query's first rows, and an iterator over the rest in batches, all from one snapshot. Postgres itself ends the
    transaction after `max_seconds`."""
    await in_transaction(connection, "REPEATABLE READ")  # the snapshot is taken now, not at earlier statements
    await connection.execute(sa.text(f"SET LOCAL transaction_timeout = {int(max_seconds * 1000)}"))
    await connection.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # its reader may stall
    result = await connection.stream(query.execution_options(yield_per=_ROWS_AT_ONCE))
    rows: AsyncIterator[Sequence[Any]] = result.partitions()
    # The default is not a tuple: CPython 3.11 would use an empty tuple as the arguments of the StopIteration it raises.
    first: Sequence[Any] = await anext(rows, [])
    return first, rows


class _Export(Response):
    """Sends the file, and releases the connection however that ends."""

    def __init__(
        self,
        sheet: Sheet,
        first: Sequence[Any],
        rows: AsyncIterator[Sequence[Any]],
        held: AsyncExitStack,
        max_seconds: float,
        stall_seconds: float,
        marked: bool = False,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers(
            {
                "Content-Type": "text/csv; charset=utf-8; header=present",
                "Content-Disposition": f'attachment; filename="{sheet.filename}"',
                "Cache-Control": "private, no-store",
            }
        )
        self._sheet = sheet
        self._first = first
        self._rows = rows
        self._held = held
        self._max_seconds = max_seconds
        self._stall_seconds = stall_seconds
        self._mark = UTF8_MARK if marked else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            sending = asyncio.create_task(self._send(send))
            leaving = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait((sending, leaving), timeout=self._max_seconds, return_when=asyncio.FIRST_COMPLETED)
                if sending.done():
                    sending.result()  # raises: after an error of ours, the file must not seem complete
                else:
                    _log.info("%s was aborted: %s", self._sheet.filename, _reason(leaving))
            finally:
                sending.cancel()
                leaving.cancel()
                await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for data in self._pieces():
                await self._send_on(send, data, more=True)
            await self._send_on(send, b"", more=False)
        except TimeoutError:
            _log.info("%s was aborted: its client stopped reading", self._sheet.filename)
        except VIEW_FAILED as error:
            _log.warning("%s was aborted: %s", self._sheet.filename, error)

    async def _send_on(self, send: Send, data: bytes, *, more: bool) -> None:
        """Sends a piece once the previous one has been taken. Raises TimeoutError."""
        async with asyncio.timeout(self._stall_seconds):
            await send({"type": "http.response.body", "body": data, "more_body": more})

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._mark + _csv([self._sheet.columns])
        for piece in self._cut(self._first):
            yield piece
        async for rows in self._rows:
            for piece in self._cut(rows):
                yield piece

    def _cut(self, rows: Sequence[Any]) -> Iterator[bytes]:
        data = _csv(map(self._sheet.cells, rows))
        return (data[start : start + _PIECE_BYTES] for start in range(0, len(data), _PIECE_BYTES))


def _csv(rows: Iterable[Sequence[object]]) -> bytes:
    """The rows as CSV lines (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


async def _left(receive: Receive) -> None:
    """Returns when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _reason(leaving: asyncio.Task[None]) -> str:
    return "its client is gone" if leaving.done() else "it took too long"
