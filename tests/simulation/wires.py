"""The wires: has every round trip of asyncpg and redis-py take a turn on the stage, and lose its connection where the
stage says so. What lies above them is the real code, and what lies below is the real server; only the feed's messages
and the activations, which Redis merely carries, go into the hands of the world."""

from __future__ import annotations

import asyncio
import re
import select
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, cast
from unittest.mock import patch

import asyncpg
import msgspec
import redis.asyncio.client
from asyncpg import connect_utils
from redis.asyncio import Redis
from taskiq import BrokerMessage

from runtime.activation import ActivationBroker
from runtime.redis_pipeline import Client, Command
from tests.simulation.stage import Stage
from tests.simulation.turns import Process, Task, Turn

_MILLISECONDS: Final = 1_000
_SAID_CHARS: Final = 48

_WRITES: Final = re.compile(r"(?:UPDATE|INTO|DELETE FROM) (\w+)")
_READS: Final = re.compile(r"FROM (\w+)")


class Wire:
    """A connection to Postgres: stands where asyncpg has its protocol."""

    def __init__(self, stage: Stage, protocol: Any, connection: Any) -> None:
        self.connection = connection
        self.process: Process = cast(Task, asyncio.current_task()).process
        self.pid: int = protocol.backend_pid
        self.gives_way = False
        """Whether its statements wait for locks only for a moment, until the transaction ends."""
        self._stage = stage
        self._protocol = protocol
        stage.wires.append(self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def lost(self, turn: Turn) -> Exception:
        """The connection of a turn is lost."""
        self._stage.hang_up([self])
        error: Exception = asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
        return error

    def hear(self, hears: bool) -> None:
        """Whether Postgres's answers arrive now: a wait for a lock ends when the stage says so."""
        transport = self.connection._transport
        if transport is None or transport.is_closing():
            return
        if hears:
            transport.resume_reading()
        else:
            transport.pause_reading()

    def has_answer(self) -> bool:
        """Whether Postgres has said something that has not been heard."""
        transport = self.connection._transport
        if transport is None or transport.is_closing():
            return False
        found, _, _ = select.select([transport.get_extra_info("socket")], [], [], 0)
        return bool(found)

    async def take(self, said: str, ask: Callable[[], Any]) -> Any:
        """Asks when it is this connection's turn."""
        if "lock_timeout" in said and not said.startswith("prepare "):
            self.gives_way = True
        elif said.startswith(("COMMIT", "ROLLBACK")):
            self.gives_way = False
        what = " ".join(said.split())[:_SAID_CHARS]
        try:
            return await self._stage.turn(what, lambda turn: ask(), self.lost, self, _locked_tables(said))
        finally:
            if said.startswith("WITH gives_way"):  # a transaction by itself
                self.gives_way = False


@cache
def _locked_tables(statement: str) -> frozenset[str]:
    """The tables in which a statement locks rows, and perhaps some others."""
    found = _WRITES.findall(statement)
    if "FOR UPDATE" in statement or "FOR SHARE" in statement:
        found += _READS.findall(statement)
    return frozenset(found)


def _asks(name: str, say: Callable[..., str]) -> Any:
    async def ask(self: Wire, *arguments: Any, **more: Any) -> Any:
        original = getattr(self._protocol, name)
        return await self.take(say(*arguments, **more), lambda: original(*arguments, **more))

    return ask


_SAYINGS: Final[dict[str, Callable[..., str]]] = {
    "query": lambda query, *_, **__: query,
    "prepare": lambda name, query, *_, **__: f"prepare {query}",
    "bind_execute": lambda state, *_, **__: state.query,
    "bind_execute_many": lambda state, *_, **__: state.query,
    "bind": lambda state, *_, **__: state.query,
    "execute": lambda state, *_, **__: state.query,
    "copy_in": lambda statement, *_, **__: statement,
    "copy_out": lambda statement, *_, **__: statement,
    "close_statement": lambda *_, **__: "close a statement",
    "close": lambda *_, **__: "close",
}
for _name, _say in _SAYINGS.items():
    setattr(Wire, _name, _asks(_name, _say))


class Carrier:
    """Who carries what Redis merely passes on. Each method is called when it has been sent."""

    def publish(self, channel: str, message: str) -> None:
        """A message of the feed."""
        raise NotImplementedError  # the simulated world carries it

    def activate(self, queue: str, task: str, arguments: Sequence[Any]) -> None:
        """An activation of a Taskiq task."""
        raise NotImplementedError  # the simulated world carries it

    def redis_is_asked(self, command: Sequence[Any]) -> Sequence[Any]:
        """Called before Redis gets a command; returns what it gets."""
        raise NotImplementedError  # the simulated world carries it

    def redis_did(self, command: Sequence[Any], answer: Any) -> None:
        """Redis has carried out a command."""
        raise NotImplementedError  # the simulated world carries it


@contextmanager
def strung(stage: Stage, carrier: Carrier) -> Iterator[None]:
    """While it lasts, the libraries' round trips in the stage's event loop are turns."""
    with (
        patch.object(asyncpg.Connection, "__init__", _wired(stage)),
        patch.object(connect_utils, "_connect", _connecting(stage)),
        patch.object(connect_utils, "_cancel", _cancelling(stage)),
        patch.object(Redis, "execute_command", _executing(stage, carrier)),
        patch.object(Client, "send", _sending(stage, carrier)),
        patch.object(ActivationBroker, "kick", _kicking(stage, carrier)),
    ):
        yield


def _lost_redis(turn: Turn) -> Exception:
    return redis.exceptions.ConnectionError("Connection closed by server.")


def _lost_socket(turn: Turn) -> Exception:
    return ConnectionRefusedError("Connection refused")


def _is_on(stage: Stage) -> bool:
    return asyncio.get_running_loop() is stage.loop


def _wired(stage: Stage) -> Any:
    original = asyncpg.Connection.__init__

    def init(self: Any, protocol: Any, *arguments: Any, **more: Any) -> None:
        original(self, protocol, *arguments, **more)
        if _is_on(stage):
            self._protocol = Wire(stage, protocol, self)

    return init


def _connecting(stage: Stage) -> Any:
    original = connect_utils._connect

    async def connect(**more: Any) -> Any:
        if not _is_on(stage):
            return await original(**more)

        async def perform(turn: Turn) -> Any:
            connection = await original(**more)
            # What a stopped process holds for too long is ended by the world: these would go by the server's own time.
            await connection.execute("SET idle_in_transaction_session_timeout = 0; SET transaction_timeout = 0")
            if turn.cut_at is not None:
                stage.hang_up([connection._protocol])
            return connection

        return await stage.turn("connect", perform, _lost_socket)

    return connect


def _cancelling(stage: Stage) -> Any:
    original = connect_utils._cancel

    async def cancel(*, backend_pid: int, **more: Any) -> None:
        if _is_on(stage):
            stage.give_up(backend_pid)
        else:
            await original(backend_pid=backend_pid, **more)

    return cancel


def _executing(stage: Stage, carrier: Carrier) -> Any:
    original: Any = Redis.execute_command

    async def execute_command(self: Any, *arguments: Any, **options: Any) -> Any:
        if not _is_on(stage):
            return await original(self, *arguments, **options)

        async def perform(turn: Turn) -> Any:
            answer = await original(self, *carrier.redis_is_asked(arguments), **options)
            carrier.redis_did(arguments, answer)
            return answer

        return await stage.turn(f"redis {arguments[0]}", perform, _lost_redis)

    return execute_command


def _sending(stage: Stage, carrier: Carrier) -> Any:
    original: Any = Client.send

    async def send(self: Any, commands: Sequence[Command], *, transaction: bool = False, **more: Any) -> Any:
        if not _is_on(stage):
            return await original(self, commands, transaction=transaction, **more)
        commands, wait_seconds = _without_waiting(commands)
        said = f"redis {' '.join(sorted({str(arguments[0]) for arguments, _ in commands}))}"

        async def perform(turn: Turn) -> Any:
            sent = commands if turn.cut_at is None else commands[: int(turn.cut_at * (len(commands) + 1))]
            if transaction and len(sent) < len(commands):
                sent = []
            carried = [arguments for arguments, _ in sent if arguments[0] == "PUBLISH"]
            asked = [(arguments, options) for arguments, options in sent if arguments[0] != "PUBLISH"]
            changed = [(tuple(carrier.redis_is_asked(arguments)), options) for arguments, options in asked]
            answers = await original(self, changed, transaction=transaction, **more) if changed else []
            if not transaction:
                for (arguments, _), answer in zip(asked, answers, strict=True):
                    carrier.redis_did(arguments, answer)
            for _, channel, message in carried:
                carrier.publish(str(channel), str(message))
            return [*answers, *[0] * len(carried)]

        answers = await stage.turn(said, perform, _lost_redis)
        if wait_seconds and not answers[0]:
            await asyncio.sleep(wait_seconds)
            answers = await stage.turn(said, perform, _lost_redis)
        return answers

    return send


def _without_waiting(commands: Sequence[Command]) -> tuple[Sequence[Command], float]:
    """The same commands without the first one's BLOCK, and for how many seconds it would have waited: Redis goes by its
    own time."""
    arguments, options = commands[0]
    if arguments[0] != "XREAD" or b"BLOCK" not in arguments:
        return commands, 0.0
    at = arguments.index(b"BLOCK")
    return [((*arguments[:at], *arguments[at + 2 :]), options), *commands[1:]], int(arguments[at + 1]) / _MILLISECONDS


def _kicking(stage: Stage, carrier: Carrier) -> Any:
    async def kick(self: Any, message: BrokerMessage) -> None:
        async def perform(turn: Turn) -> None:
            arguments = msgspec.json.decode(message.message)["args"]
            carrier.activate(self.queue_name, message.task_name, arguments)

        try:
            await stage.turn(f"activate {message.task_name}", perform, _lost_redis)
        except redis.exceptions.ConnectionError:
            return  # as the real one

    return kick
