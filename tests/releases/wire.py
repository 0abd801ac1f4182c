"""What clients of Postgres said over their connections, and how the server answered: messages of its protocol, version
3.0. A recording is replayed byte for byte, prepared statements, binary arguments and COPY included."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

IDLE: Final = "I"
"""ReadyForQuery's status outside of a transaction."""

SSL_REQUEST: Final = 80877103
CANCEL_REQUEST: Final = 80877102
PROTOCOL: Final = 196608

_HEAD: Final = struct.Struct("!cI")
_NOT_ANSWERS: Final = b"NSAKDdv"
"""Notices, parameters, notifications, and rows: no end of an answer."""


class Exchange(msgspec.Struct, array_like=True):
    """What one session sent in one go, and the answer: the command tags, errors as `!SQLSTATE`; the type of its last
    message; and, if that was ReadyForQuery, the transaction's status."""

    session: int
    said: bytes
    tags: list[str]
    last: str
    status: str = ""


class Recording(msgspec.Struct):
    """`revision` is the database's, `log` the identity of its log, `keys` are Redis's at the end, as DUMP gives them.
    `sessions` are the parameters of each, `exchanges` all that was said and answered, in the order in which it was
    answered."""

    revision: str
    log: str
    keys: dict[str, bytes]
    sessions: list[dict[str, str]]
    exchanges: list[Exchange]

    @classmethod
    def read(cls, path: Path) -> Recording:
        return msgspec.msgpack.decode(gzip.decompress(path.read_bytes()), type=cls)

    def write(self, path: Path) -> None:
        path.write_bytes(gzip.compress(msgspec.msgpack.encode(self), mtime=0))

    def pauses(self) -> Iterator[int]:
        """The numbers of exchanges before which no session is in a transaction, or in the middle of anything."""
        busy: set[int] = set()
        for number, exchange in enumerate(self.exchanges):
            if not busy:
                yield number
            if exchange.status == IDLE:
                busy.discard(exchange.session)
            else:
                busy.add(exchange.session)


class Message(NamedTuple):
    """A message after the first."""

    type: bytes
    payload: bytes

    def encode(self) -> bytes:
        return _HEAD.pack(self.type, len(self.payload) + 4) + self.payload


HEAD_BYTES: Final = _HEAD.size


def head(data: bytes) -> tuple[bytes, int]:
    """The type of a message, and the bytes that follow its head."""
    kind, length = _HEAD.unpack(data)
    return kind, length - 4


def messages(data: bytes) -> Iterator[Message]:
    """The messages in these bytes."""
    at = 0
    while at < len(data):
        kind, size = head(data[at : at + HEAD_BYTES])
        at += HEAD_BYTES
        yield Message(kind, data[at : at + size])
        at += size


def startup(parameters: dict[str, str]) -> bytes:
    """The first message of a session."""
    said = b"".join(part.encode() + b"\0" for pair in parameters.items() for part in pair) + b"\0"
    return struct.pack("!II", len(said) + 8, PROTOCOL) + said


def parameters(said: bytes) -> dict[str, str]:
    """The parameters in the first message, without its first 8 bytes."""
    parts = said.rstrip(b"\0").decode().split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=True))


def note(exchange: Exchange, answer: Message) -> None:
    """Adds a message of the server's to an exchange."""
    if answer.type in _NOT_ANSWERS:
        return
    exchange.last = answer.type.decode()
    if answer.type == b"C":
        exchange.tags.append(answer.payload.rstrip(b"\0").decode())
    elif answer.type == b"E":
        fields = {part[:1]: part[1:] for part in answer.payload.split(b"\0") if part}
        exchange.tags.append(f"!{fields[b'C'].decode()}")
    elif answer.type == b"Z":
        exchange.status = answer.payload.decode()
