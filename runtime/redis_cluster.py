"""A Redis or Valkey Cluster as one client: a command goes to the node that has its key's slot, those of a pipeline to
all nodes concerned concurrently.

redis-py's own cluster client is not used: it re-sends a whole pipeline when one node fails, and it does not use our
connections (see `runtime.redis_connections`). Here a command is sent again only if a node refused it before doing
anything, because the slot has moved or is moving, or the script is unknown there. Commands for an unreachable node
fail, from then on immediately, until it answers or its slots have another owner. So one node does not hold up commands
for the others.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from contextvars import Context
from itertools import chain
from typing import Any, Final, NamedTuple

from redis.asyncio.client import PubSub
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import (
    AskError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as NoAnswer

from runtime.redis_pipeline import NO_COPIES, Client, Command, Copies, spelled_out
from runtime.redis_url import Address, ClusterUrl

_log = logging.getLogger(__name__)

_TRIES_MAX: Final = 8
_TRY_AGAIN_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 0.1
_LOOK_TIMEOUT_SECONDS: Final = 1.0
_FIRST_LOOK_SECONDS: Final = 2.0
_PARTS: Final = 4

_LOST: Final = (ConnectionLost, NoAnswer, OSError)

_KEYLESS: Final = frozenset({"PING", "INFO", "TIME", "PUBLISH", "CONFIG GET", "CLUSTER SLOTS"})
_ASKING: Final[Command] = (("ASKING",), {})


class NodeUnavailable(ConnectionLost):
    """The cluster node that has the key is unavailable. If it was lost during the command, the outcome is unknown."""


class _Way(NamedTuple):
    """The node that a command is sent to, None if no node has its slot; `asking` if the slot is just moving there."""

    node: Address | None
    asking: bool = False


class Cluster(Client):
    """A client for all nodes. `server` creates a client for one, from its URL."""

    def __init__(self, url: ClusterUrl, server: Callable[[str], Client]) -> None:
        self._url = url
        self._server = server
        self._servers: dict[Address, Client] = {}
        self._owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._nodes: set[Address] = set()
        self._away: set[Address] = set()
        self._home: Address | None = None
        self._closed = False
        self._looking: asyncio.Task[None] | None = None
        self._seen = asyncio.Event()
        # redis-py's client and pipelines read properties of this pool; no command is sent through it.
        super().__init__(connection_pool=self._client(url.seeds[0]).connection_pool)

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        self._closed = True  # commands in flight lose their answers now; that must not start another look
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for server in list(self._servers.values()):
            await server.aclose()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        (answer,) = await self.send([(args, options)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def send(
        self, commands: Sequence[Command], *, transaction: bool = False, copies: Copies = NO_COPIES
    ) -> list[Any]:
        """The commands' answers, with the error in place of an answer if a command was refused, and NodeUnavailable if
        its node is unavailable; raises that if no node answered. All commands of a transaction must be for one slot."""
        if not self._seen.is_set():
            await self._look_until_seen()
        answers: list[Any] = [None] * len(commands)
        ways = self._ways(commands)
        for _ in range(_TRIES_MAX):
            redirected: dict[int, _Way] = {}
            for number, answer in await self._send_each_way(commands, ways, transaction, copies):
                answers[number] = answer
                if isinstance(answer, MovedError):
                    redirected[number] = self._moved(answer, ways[number].node)
                elif isinstance(answer, AskError):
                    redirected[number] = _Way(_named(answer, ways[number].node), asking=True)
                elif isinstance(answer, TryAgainError):
                    redirected[number] = ways[number]
            if not redirected:
                break
            if any(isinstance(answers[number], TryAgainError) for number in redirected):
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
            ways = redirected
        else:
            for number in ways:
                answers[number] = NodeUnavailable(f"its slot is moving: {answers[number]}")
        if all(isinstance(answer, NodeUnavailable) for answer in answers):
            raise answers[0]
        return answers

    def pubsub(self, **options: Any) -> PubSub:
        """Every node receives what is published on any node, so this listens to one, chosen at random each time."""
        return self._client(random.choice(self._url.seeds)).pubsub(**options)  # noqa: S311 - not a secret

    def lane(self, key: str) -> object:
        return self._owners[key_slot(key.encode())]

    def spread(self, name: str) -> Sequence[str]:
        return [f"{name}:{{{tag}}}" for tag in _SPREAD_TAGS]

    async def servers(self) -> Sequence[Client]:
        if not self._seen.is_set():
            await self._look_until_seen()
        return [self._client(node) for node in sorted(self._nodes)]

    def _client(self, node: Address) -> Client:
        client = self._servers.get(node)
        if client is None:
            client = self._servers[node] = self._server(self._url.of(node))
        return client

    def _ways(self, commands: Sequence[Command]) -> dict[int, _Way]:
        """Each command's way, by its index. A command without a key goes with the one before it, to keep their
        order."""
        ways: dict[int, _Way] = {}
        for number, (arguments, _) in enumerate(commands):
            key = key_of(arguments)
            if key is not None:
                ways[number] = _Way(self._owners[key_slot(key.encode() if isinstance(key, str) else key)])
            elif number and ways[number - 1].node in self._nodes - self._away:
                ways[number] = ways[number - 1]
            else:
                ways[number] = _Way(self._any())
        return ways

    def _any(self) -> Address | None:
        """The node for commands that any node can execute: always the same one, so that messages keep their order."""
        there = self._nodes - self._away or self._nodes
        if self._home not in there:
            self._home = random.choice(list(there)) if there else None  # noqa: S311 - not a secret
        return self._home

    async def _send_each_way(
        self, commands: Sequence[Command], ways: Mapping[int, _Way], transaction: bool, copies: Copies
    ) -> Iterable[tuple[int, Any]]:
        """Each command's index and answer."""
        together: dict[_Way, list[int]] = {}
        for number, way in ways.items():
            together.setdefault(way, []).append(number)
        sent = [
            self._send_one_way(way, [commands[number] for number in numbers], transaction, copies)
            for way, numbers in together.items()
        ]
        answers = [await sent[0]] if len(sent) == 1 else await asyncio.gather(*sent)
        return zip(chain.from_iterable(together.values()), chain.from_iterable(answers), strict=True)

    async def _send_one_way(
        self, way: _Way, commands: Sequence[Command], transaction: bool, copies: Copies
    ) -> Sequence[Any]:
        node, asking = way
        if node is None or node in self._away:
            self._look_soon()
            return [NodeUnavailable("no node has its slot" if node is None else f"{node} is away")] * len(commands)
        client = self._client(node)
        try:
            if transaction:
                answers = [TryAgainError()] * len(commands) if asking else await client.send(commands, transaction=True)
            elif asking:
                pairs = chain.from_iterable((_ASKING, spelled_out(command)) for command in commands)
                answers = (await client.send(list(pairs), copies=copies))[1::2]
            else:
                answers = await client.send(commands, copies=copies)
        except (AskError, TryAgainError) as error:  # of a transaction, which was refused as a whole
            return [error] * len(commands)
        except _LOST as error:
            self._lose(node, error)
            return [NodeUnavailable(f"{node}: {error}")] * len(commands)
        if any(map(_is_down, answers)):
            self._look_soon()
            return [NodeUnavailable(f"{node}: {answer}") if _is_down(answer) else answer for answer in answers]
        return answers

    def _moved(self, error: MovedError, asked: Address | None) -> _Way:
        owner = _named(error, asked)
        self._owners[error.slot_id] = owner
        self._nodes.add(owner)
        self._look_soon()  # other slots may have moved with it
        return _Way(owner)

    def _lose(self, node: Address, error: BaseException) -> None:
        if node not in self._away:
            _log.warning("Redis node %s:%d does not answer (%s)", *node, error)
            self._away.add(node)
        self._look_soon()

    def _look_soon(self) -> None:
        if not self._closed and (self._looking is None or self._looking.done()):
            self._looking = asyncio.create_task(self._look(), context=Context())

    async def _look_until_seen(self) -> None:
        """Waits until the owners of the slots are known. Raises NodeUnavailable if no node can say."""
        self._look_soon()
        try:
            async with asyncio.timeout(_FIRST_LOOK_SECONDS):
                await self._seen.wait()
        except TimeoutError:
            raise NodeUnavailable("no node of the cluster answers") from None

    async def _look(self) -> None:
        """Keeps asking which node has which slots, until that is known and all of these nodes are available."""
        while True:
            known = await self._learn()
            self._away &= self._nodes
            for node in list(self._away):
                if await self._answers(node):
                    self._away.discard(node)
            if known and not self._away:
                return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _learn(self) -> bool:
        """Asks the nodes, one after another, until one answers; those that seem unavailable are asked last."""
        known = list(self._nodes.union(self._url.seeds))
        random.shuffle(known)
        for node in sorted(known, key=self._away.__contains__):
            with suppress(*_LOST, RedisError):
                async with asyncio.timeout(_LOOK_TIMEOUT_SECONDS):
                    ((rows,)) = await self._client(node).send([(("CLUSTER SLOTS",), {})])
                if isinstance(rows, Exception):
                    raise rows
                owners: list[Address | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
                for first, last, (host, port, *_), *_ in rows:
                    # An empty host stands for the node that was asked.
                    owner = Address(host.decode() if host else node.host, port)
                    owners[first : last + 1] = [owner] * (last + 1 - first)
                self._owners, self._nodes = owners, {node for node in owners if node is not None}
                self._seen.set()
                return True
        return False

    async def _answers(self, node: Address) -> bool:
        with suppress(*_LOST, RedisError):
            async with asyncio.timeout(_LOOK_TIMEOUT_SECONDS):
                return not isinstance((await self._client(node).send([(("PING",), {})]))[0], Exception)
        return False


def _named(error: AskError, asked: Address | None) -> Address:
    """The node that a redirection names; if it names no host, that of the node that was asked."""
    assert asked is not None, "somebody must have said so"
    return Address(error.host or asked.host, error.port)


def _is_down(answer: Any) -> bool:
    """Whether a command was refused because of its node's state, not its content. A blocking command is "unblocked"
    when its node becomes a replica."""
    return isinstance(answer, (ClusterDownError, MasterDownError, BusyLoadingError, ReadOnlyError)) or (
        isinstance(answer, ResponseError) and str(answer).startswith("UNBLOCKED")
    )


def key_of(arguments: Sequence[Any]) -> Any:
    """The key by which a command is routed; None for one that any node can execute."""
    name = arguments[0]
    if name in _KEYLESS:
        return None
    if name in ("EVAL", "EVALSHA"):
        return arguments[3] if int(arguments[2]) else None
    if name == "XREAD":
        return arguments[arguments.index(b"STREAMS") + 1]
    return arguments[1]


def _tag_of_part(part: int) -> str:
    """A hash tag whose slot is in the given one of `_PARTS` equal parts of all slots."""
    size = REDIS_CLUSTER_HASH_SLOTS // _PARTS
    return next(tag for tag in map(str, itertools.count()) if key_slot(tag.encode()) // size == part)


_SPREAD_TAGS: Final = [_tag_of_part(part) for part in range(_PARTS)]
