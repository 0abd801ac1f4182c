"""Listeners answer the pings between events, wherever reads happen to be cut."""

import struct
from random import Random
from typing import Final

import pytest

from loadtests.feedload import Frames

HEAD: Final = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"


def frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    length = (
        bytes([size])
        if size < 126
        else struct.pack("!BH", 126, size)
        if size < 65_536
        else struct.pack("!BQ", 127, size)
    )
    return bytes([0x80 | opcode]) + length + payload


def ping(payload: bytes) -> bytes:
    return frame(9, payload)


def pong(payload: bytes) -> bytes:
    return bytes([0x8A, 0x80 | len(payload), 0, 0, 0, 0]) + payload


SAID: Final = b"".join(
    (
        HEAD,
        frame(1, b'{"type":"subscribed"}'),
        ping(b"one!"),
        frame(1, b"\x89\x04nono" * 50),
        ping(b""),
        frame(1, b"\x89" * 70_000),
        ping(b"x" * 125),
        frame(1, b"."),
    )
)


@pytest.mark.parametrize("seed", range(20))
def test_every_ping_is_answered_once_wherever_reads_are_cut(seed: int) -> None:
    random, frames, answers, at = Random(seed), Frames(), b"", 0
    while at < len(SAID):
        size = random.choice((1, 2, 3, 9, 200, 100_000)) if seed else len(SAID)
        answers += frames.pongs(SAID[at : at + size])
        at += size
    assert answers == pong(b"one!") + pong(b"") + pong(b"x" * 125)
