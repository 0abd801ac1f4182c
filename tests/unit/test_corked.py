"""Writes of one turn are sent together, and nothing is sent too late."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.server.corked import CorkedTransport


class _Wire(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[bytes | str] = []

    def write(self, data: Any) -> None:
        self.said.append(bytes(data))

    def write_eof(self) -> None:
        self.said.append("eof")

    def close(self) -> None:
        self.said.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.said

    def get_write_buffer_size(self) -> int:
        return 1_000

    def pause_reading(self) -> None:
        self.said.append("paused")


async def _corked() -> tuple[CorkedTransport, _Wire]:
    wire = _Wire()
    return CorkedTransport(wire, asyncio.get_running_loop()), wire


async def test_a_head_and_its_body_are_one_packet_and_the_next_answer_is_another() -> None:
    corked, wire = await _corked()
    corked.write(b"head ")
    corked.writelines([b"bo", b"dy"])
    assert wire.said == []
    await asyncio.sleep(0)
    corked.write(b"next")
    await asyncio.sleep(0)
    assert wire.said == [b"head body", b"next"]


async def test_corked_bytes_count_as_unsent() -> None:
    corked, _ = await _corked()
    corked.write(b"12345")
    assert corked.get_write_buffer_size() == 1_005


async def test_nothing_is_lost_by_closing() -> None:
    for end in ("close", "write_eof", "uncork"):
        corked, wire = await _corked()
        corked.write(b"last words")
        getattr(corked, end)()
        assert wire.said[0] == b"last words"
        await asyncio.sleep(0)
        assert wire.said.count(b"last words") == 1


async def test_nothing_is_written_after_the_end() -> None:
    corked, wire = await _corked()
    corked.write(b"too late")
    wire.close()
    await asyncio.sleep(0)
    assert wire.said == ["closed"]


async def test_other_calls_go_to_the_transport() -> None:
    corked, wire = await _corked()
    corked.pause_reading()
    assert wire.said == ["paused"]
