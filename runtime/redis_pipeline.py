"""Clients and pipelines that know about scripts and replicas. A pipeline to one server is one round trip on one
connection; to a cluster it is one for each node concerned (see `runtime.redis_cluster`)."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha1
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.client import CommandT
from redis.asyncio.client import Pipeline as PlainPipeline
from redis.exceptions import NoScriptError, RedisError

from runtime.redis_connections import ask_all

Command = CommandT
"""A command as redis-py keeps it in a pipeline: its words, and options for parsing its answer."""


class NotCopied(RedisError):
    """Too few replicas had the commands in time: they have been executed, but a failover may undo them."""


class Copies(NamedTuple):
    """How many replicas must have commands before these count as done, and how long that may take. A replica with
    `appendfsync always` acknowledges them once they are on its disk. (WAITAOF in one round trip with the commands takes
    up to a second: what a replica acknowledges when asked is what was on its disk before they arrived.)"""

    replicas: int = 0
    within_milliseconds: int = 0

    def sealed(self, answer: Any, copied: Any) -> Any:
        """The answer; NotCopied in its place if too few replicas have the command, or the error of asking them."""
        if isinstance(copied, Exception) or copied >= self.replicas:
            return copied if isinstance(copied, Exception) else answer
        return NotCopied(f"{copied} of {self.replicas} replicas had it within {self.within_milliseconds} ms")


NO_COPIES: Final = Copies()


class Script(str):
    """A Lua script; as a string, the digest by which servers know it. A server that does not know it yet does nothing,
    and is then sent the source: this costs a second round trip, once per server."""

    source: str

    def __new__(cls, source: str) -> Script:
        script = super().__new__(cls, sha1(source.encode(), usedforsecurity=False).hexdigest())
        script.source = source
        return script

    async def __call__(self, client: Client, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Runs it at once. All keys must be in one slot of a cluster."""
        (answer,) = await client.send([self.call(keys, arguments)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def call(self, keys: Sequence[str], arguments: Sequence[Any]) -> Command:
        """A call of the script, to be sent with other commands."""
        return ("EVALSHA", self, len(keys), *keys, *arguments), {}

    def add(self, pipeline: Pipeline, keys: Sequence[str], arguments: Sequence[Any]) -> None:
        """Adds a call of the script to a pipeline."""
        pipeline.execute_command("EVALSHA", self, len(keys), *keys, *arguments)


class Client(Redis):
    """A client of one server."""

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return Pipeline(self, transaction)

    async def send(
        self, commands: Sequence[Command], *, transaction: bool = False, copies: Copies = NO_COPIES
    ) -> list[Any]:
        """The commands' answers, with the error in place of an answer if a command was refused. Raises if the
        connection breaks: the outcome is then unknown."""
        answers = await self._round_trip(commands, transaction, copies)
        unknown = [number for number, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            again = await self._round_trip([spelled_out(commands[number]) for number in unknown], transaction, copies)
            for number, answer in zip(unknown, again, strict=True):
                answers[number] = answer
        return answers

    async def _round_trip(self, commands: Sequence[Command], transaction: bool, copies: Copies) -> list[Any]:
        if transaction:
            pipeline = PlainPipeline(self.connection_pool, self.response_callbacks, transaction, None)
            pipeline.command_stack = list(commands)
            return await pipeline.execute(raise_on_error=False)
        calls = [arguments for arguments, _ in commands]
        if not copies.replicas:
            answers = await ask_all(self.connection_pool, calls)
        else:
            wait = "WAIT", copies.replicas, copies.within_milliseconds
            *answers, copied = await ask_all(self.connection_pool, [*calls, wait])
            answers = [answer if isinstance(answer, Exception) else copies.sealed(answer, copied) for answer in answers]
        return [self._read(command, answer) for command, answer in zip(commands, answers, strict=True)]

    def _read(self, command: Command, answer: Any) -> Any:
        """An answer as redis-py would parse it."""
        (name, *_), options = command
        callback = self.response_callbacks.get(name)
        if callback is None or isinstance(answer, Exception):
            return answer
        return callback(answer, **{key: value for key, value in options.items() if key != "keys"})

    def lane(self, key: str) -> object:
        """A value that is equal for keys on the same server, whose commands succeed or fail together."""
        return None

    def spread(self, name: str) -> Sequence[str]:
        """Keys for something that may be kept under any of them, spread so that some survive the loss of a server."""
        return [name]

    async def servers(self) -> Sequence[Client]:
        """A client for each server that accepts writes, to ask it about itself."""
        return [self]


class Pipeline(PlainPipeline):
    """Commands that a client sends together."""

    def __init__(self, client: Client, transaction: bool) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, None)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """The answers in order. Without `raise_on_error`, errors take the place of answers, and it raises only if no
        server answered."""
        commands, self.command_stack = self.command_stack, []
        if not commands:
            return []
        answers = await self._client.send(commands, transaction=self.is_transaction)
        if raise_on_error:
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        return answers


def spelled_out(command: Command) -> Command:
    """The command, with its script in full if it names one."""
    arguments, options = command
    if arguments[0] == "EVALSHA" and isinstance(script := arguments[1], Script):
        return (("EVAL", script.source, *arguments[2:]), options)
    return command
