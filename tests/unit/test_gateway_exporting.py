"""An export that fails midway is noticed, and releases what it holds."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.types import Message

from gateway.web.exporting import Sheet, _Export


async def test_a_row_that_cannot_be_written_is_an_error_rather_than_a_shorter_file() -> None:
    async def more() -> AsyncIterator[Sequence[Any]]:
        yield [1, 0]

    released = asyncio.Event()
    held = AsyncExitStack()
    held.callback(released.set)
    sheet = Sheet("shares.csv", ("share",), sa.select(sa.literal(1)), lambda row: (1 / row,))
    export = _Export(sheet, [4], more(), held, max_seconds=10, stall_seconds=10)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return await asyncio.Future()

    with pytest.raises(ZeroDivisionError):
        await export({"type": "http"}, receive, send)
    assert released.is_set()
    assert [message["body"] for message in sent[1:]] == [b"share\r\n", b"0.25\r\n"]
    assert all(message["more_body"] for message in sent[1:])
