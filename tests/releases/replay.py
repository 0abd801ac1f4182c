"""Sends a recorded conversation to another database."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import socket
import struct
from types import TracebackType
from typing import Final, NamedTuple, Self
from urllib.parse import unquote, urlsplit

import asyncpg

from runtime import migrations
from runtime.database import asyncpg_dsn
from tests import pace
from tests.releases.wire import HEAD_BYTES, Exchange, Message, Recording, head, messages, note, startup

_ANSWER_SECONDS: Final = 30.0
_OK, _SASL, _SASL_CONTINUE, _SASL_FINAL = 0, 10, 11, 12


async def prepare(recording: Recording, database_url: str) -> None:
    """Brings an empty database to the state in which the recording begins."""
    await asyncio.to_thread(migrations.upgrade, database_url, recording.revision)
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    await connection.execute("UPDATE log_branches SET identity = $1", recording.log)
    await connection.close()


class Otherwise(NamedTuple):
    """An exchange that was answered otherwise than it was recorded: with which tags, and the statements in it."""

    number: int
    recorded: list[str]
    answered: list[str]
    error: str
    statements: list[str]


class Replay:
    """A context manager. Sessions are opened when they first say something, and stay open."""

    def __init__(self, recording: Recording, database_url: str) -> None:
        self._recording = recording
        self._url = database_url
        self._sessions: dict[int, _Session] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for session in self._sessions.values():
            session.close()

    def play(self, begin: int, end: int) -> list[Otherwise]:
        """Says the exchanges from `begin` up to `end`, in turn; returns those that were answered otherwise. One that
        leaves its session in another state than it was in is the last."""
        found = []
        for number in range(begin, end):
            exchange = self._recording.exchanges[number]
            session = self._sessions.get(exchange.session)
            if session is None:
                named = self._recording.sessions[exchange.session]
                session = self._sessions[exchange.session] = _Session(self._url, named)
            answered, error = session.say(exchange)
            if answered.tags != exchange.tags:
                statements = session.statements(exchange)
                found.append(Otherwise(number, exchange.tags, answered.tags, error, statements))
            if (answered.last, answered.status) != (exchange.last, exchange.status):
                break
        return found


class _Session:
    """One connection. Raises OSError and TimeoutError."""

    def __init__(self, url: str, named: dict[str, str]) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        assert parts.username is not None
        assert parts.password is not None
        self._statements: dict[bytes, str] = {}
        self._socket = socket.create_connection((parts.hostname, parts.port), pace.seconds(_ANSWER_SECONDS))
        database = parts.path.removeprefix("/")
        self._socket.sendall(startup({"user": parts.username, "database": database, **named}))
        self._file = self._socket.makefile("rb")
        self._authenticate(unquote(parts.password))

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def say(self, exchange: Exchange) -> tuple[Exchange, str]:
        """Says it; returns it as it is answered now, and the server's words if that is an error."""
        for message in messages(exchange.said):
            if message.type == b"P":
                name, statement, _ = message.payload.split(b"\0", 2)
                self._statements[name] = statement.decode()
        answered, error = Exchange(exchange.session, b"", [], ""), ""
        self._socket.sendall(exchange.said)
        waits_for = exchange.said[-HEAD_BYTES:].startswith((b"S",)) or exchange.last == "Z"
        while not self._is_over(exchange, answered, waits_for):
            message = self._read()
            note(answered, message)
            if message.type == b"E":
                error = message.payload.replace(b"\0", b" ").decode(errors="replace")
        return answered, error

    @staticmethod
    def _is_over(recorded: Exchange, answered: Exchange, waits_for_ready: bool) -> bool:
        if waits_for_ready:
            return answered.last == "Z"
        return answered.last in (recorded.last, "Z", "E")

    def statements(self, exchange: Exchange) -> list[str]:
        """The statements that an exchange is about."""
        found = []
        for message in messages(exchange.said):
            if message.type == b"Q":
                found.append(message.payload.rstrip(b"\0").decode())
            elif message.type in (b"B", b"D"):
                name = message.payload.split(b"\0")[1 if message.type == b"B" else 0].removeprefix(b"S")
                found.append(self._statements.get(name, name.decode()))
            elif message.type == b"P":
                found.append(message.payload.split(b"\0")[1].decode())
        return found

    def _read(self) -> Message:
        kind, size = head(self._take(HEAD_BYTES))
        return Message(kind, self._take(size))

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise OSError("the server closed the connection")
        return data

    def _authenticate(self, password: str) -> None:
        """SCRAM-SHA-256 (RFC 5802, RFC 7677)."""
        nonce = secrets.token_hex(16)
        bare, server_first = f"n=,r={nonce}", ""
        while (message := self._read()).type != b"Z":
            if message.type == b"E":
                raise OSError(message.payload)
            if message.type != b"R":
                continue
            (step,) = struct.unpack("!I", message.payload[:4])
            if step == _SASL:
                first = f"n,,{bare}".encode()
                said = b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first
                self._socket.sendall(Message(b"p", said).encode())
            elif step == _SASL_CONTINUE:
                server_first = message.payload[4:].decode()
                self._socket.sendall(Message(b"p", _proof(password, bare, server_first).encode()).encode())
            else:
                assert step in (_SASL_FINAL, _OK), f"the server wants to authenticate by other means ({step})"


def _proof(password: str, client_first: str, server_first: str) -> str:
    """The client's last message of SCRAM."""
    said = dict(part.split("=", 1) for part in server_first.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(said["s"]), int(said["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = f"c=biws,r={said['r']}"
    signature = hmac.digest(hashlib.sha256(key).digest(), f"{client_first},{server_first},{final}".encode(), "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    return f"{final},p={base64.b64encode(proof).decode()}"
