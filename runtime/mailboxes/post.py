"""The gateway's side of the mailboxes: commands of concurrent requests are sent together, and are durable on return.
While one pipeline is on its way, the next one fills, so the higher the load, the more commands share a round trip and
an fsync. In a cluster each node has pipelines of its own, so that a slow or unavailable node does not hold up the
others' commands. If an answer is lost, that is reported, and the command is never re-sent: it may or may not be in the
mailbox, and only the client (with an Idempotency-Key) can safely send it again.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import Context
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from redis.exceptions import RedisError

from runtime.envelope import SCHEMA_VERSION
from runtime.generations import GENERATIONS
from runtime.mailboxes.redis_keys import awake_key, claims_keys, idempotency_field, stream_key, weight_key
from runtime.metrics import POST_SECONDS
from runtime.redis_connections import Argument
from runtime.redis_pipeline import NO_COPIES, Client, Copies, Script

_log = logging.getLogger(__name__)

_SCRIPT: Final = Script(GENERATIONS + (Path(__file__).parent / "post.lua").read_text())
_FORGET: Final = Script((Path(__file__).parent / "forget.lua").read_text())
_POSTED: Final = b"posted"
_FULL: Final = b"full"
_WAITS: Final = b"w"


class Claim(NamedTuple):
    """An idempotency key of a principal, and what to remember under it (at least one byte)."""

    principal: str
    key: str
    value: bytes


class Claimed(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered under an idempotency key: the first command that used it, the fingerprint of its request, and
    the id of the resource that it is about."""

    fingerprint: bytes
    command_id: UUID
    resource: str

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(value: bytes) -> "Claimed":
        return msgspec.msgpack.decode(value, type=Claimed)


class Known(NamedTuple):
    """What the first command with an idempotency key left under it, and whether that command still waits in the
    mailbox."""

    value: bytes
    waits: bool


class MailboxFull(Exception):
    """The mailbox is full; there will be room later."""


class PostQueueFull(Exception):
    """This process already has the maximum number of commands on their way to Redis."""


class MailboxesUnavailable(Exception):
    """Redis did not answer: it is unknown whether the command was accepted."""


@cache
def _keys(mailbox: int) -> tuple[str, ...]:
    """The keys of a mailbox for the script."""
    return stream_key(mailbox), awake_key(mailbox), weight_key(mailbox), *claims_keys(mailbox)


class _Post(NamedTuple):
    entry: bytes
    claim: Claim | None
    answer: asyncio.Future[Known | None]


class Poster:
    """Posts to all mailboxes. `wake` is called, in the background, for a mailbox that was asleep."""

    def __init__(
        self,
        client: Client,
        wake: Callable[[int], Awaitable[None]],
        *,
        mailbox_max_commands: int,
        mailbox_max_bytes: int,
        queue_max_commands: int,
        awake_milliseconds: int,
        idempotency_seconds: int,
        idempotency_max_bytes: int,
        copies: Copies = NO_COPIES,
    ) -> None:
        """`copies` is how many replicas must have a command before it counts as accepted."""
        self._client = client
        self._wake = wake
        self._copies = copies
        self._arguments: tuple[Argument, ...] = (
            mailbox_max_commands,
            mailbox_max_bytes,
            awake_milliseconds,
            idempotency_seconds * 1000,
            idempotency_max_bytes,
            SCHEMA_VERSION,
        )
        self._queue_max_commands = queue_max_commands
        self._queued = 0
        self._gathering: dict[object, dict[int, list[_Post]]] = {}
        """Keyed by the client's lane."""
        self._sending: dict[object, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waking: set[asyncio.Task[None]] = set()

    @property
    def queued(self) -> int:
        """The number of commands on their way to Redis."""
        return self._queued

    async def post(self, mailbox: int, entry: bytes, claim: Claim | None = None) -> Known | None:
        """Accepts one command: on return it is on Redis's disk, after all commands posted to the mailbox before it. If
        an earlier command has used the idempotency key, posts nothing and returns what that left; otherwise returns
        None. Raises MailboxFull, PostQueueFull or MailboxesUnavailable.
        """
        if self._queued >= self._queue_max_commands:
            raise PostQueueFull
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # kept, because each call costs a system call (getpid)
        answer: asyncio.Future[Known | None] = self._loop.create_future()
        lane = self._client.lane(stream_key(mailbox))
        self._gathering.setdefault(lane, {}).setdefault(mailbox, []).append(_Post(entry, claim, answer))
        self._queued += 1
        if lane not in self._sending:
            # In an empty context, not in that of the request that happens to come first.
            self._sending[lane] = self._loop.create_task(self._send_all(lane), context=Context())
        return await answer

    async def post_once(
        self, mailbox: int, entry: bytes, claim: Claim | None, is_applied: Callable[[UUID], Awaitable[bool]]
    ) -> Claimed | None:
        """Like `post`, for claims whose value is a `Claimed`. Returns the first command with the key if it is still
        waiting, or if `is_applied` confirms that it was applied. Otherwise Redis remembers a history that is gone
        (Postgres was wiped or restored), so the key is freed and the command posted. Raises what either raises."""
        while (known := await self.post(mailbox, entry, claim)) is not None and claim is not None:
            first = Claimed.decode(known.value)
            if known.waits or await is_applied(first.command_id):
                return first
            _log.warning(
                "mailbox %d: command %s, which used an idempotency key, is neither waiting nor in the log: "
                "Redis remembers a different log from Postgres's; the key is free again",
                mailbox,
                first.command_id,
            )
            await self._forget(mailbox, claim, known.value)
        return None

    async def remembers(self, mailbox: int, claim: Claim) -> bool:
        """Whether Redis knows a command that used this idempotency key. Raises MailboxesUnavailable."""
        try:
            pipeline = self._client.pipeline(transaction=False)
            for claims in claims_keys(mailbox):
                pipeline.hexists(claims, idempotency_field(claim.principal, claim.key))
            return any(await pipeline.execute())
        except (RedisError, OSError) as error:
            raise MailboxesUnavailable(str(error)) from error

    async def _forget(self, mailbox: int, claim: Claim, value: bytes) -> None:
        field = idempotency_field(claim.principal, claim.key)
        try:
            await _FORGET(self._client, claims_keys(mailbox), [field, value])
        except (RedisError, OSError) as error:
            raise MailboxesUnavailable(str(error)) from error

    async def close(self) -> None:
        """Waits for the commands on their way."""
        await asyncio.gather(*self._sending.values())
        await asyncio.gather(*self._waking, return_exceptions=True)

    async def _send_all(self, lane: object) -> None:
        try:
            while batch := self._gathering.pop(lane, None):
                await self._send(batch)
        finally:
            del self._sending[lane]

    async def _send(self, batch: dict[int, list[_Post]]) -> None:
        try:
            answers = await self._execute(batch)
        except Exception as error:  # whatever it is, the posting requests must learn of it
            answers = [error] * len(batch)
        for (mailbox, posts), answer in zip(batch.items(), answers, strict=True):
            self._queued -= len(posts)
            if isinstance(answer, BaseException):
                _log.warning("mailbox %d: %d commands were not posted: %s", mailbox, len(posts), answer)
                self._fail(posts, answer)
                continue
            was_asleep, *results = answer
            if was_asleep:
                self._wake_soon(mailbox)
            self._answer(posts, results)

    async def _execute(self, batch: dict[int, list[_Post]]) -> list[Any]:
        """The script's answer for each mailbox, or the error in its place."""
        calls = [_SCRIPT.call(_keys(mailbox), self._arguments_of(posts)) for mailbox, posts in batch.items()]
        sent = time.perf_counter()
        try:
            return await self._client.send(calls, copies=self._copies)
        finally:
            POST_SECONDS.observe(time.perf_counter() - sent)

    def _arguments_of(self, posts: Iterable[_Post]) -> list[Argument]:
        arguments = list(self._arguments)
        for entry, claim, _ in posts:
            if claim is None:
                arguments += (entry, b"", b"")
            else:
                principal, key, value = claim
                arguments += (entry, idempotency_field(principal, key), value)
        return arguments

    @staticmethod
    def _fail(posts: Iterable[_Post], error: BaseException) -> None:
        for post in posts:
            if not post.answer.done():
                failure = MailboxesUnavailable(str(error))
                failure.__cause__ = error
                post.answer.set_exception(failure)

    @staticmethod
    def _answer(posts: list[_Post], results: list[bytes]) -> None:
        for post, result in zip(posts, results, strict=True):
            if post.answer.done():  # the request was abandoned meanwhile; its command is accepted anyway
                continue
            if result == _FULL:
                post.answer.set_exception(MailboxFull())
            else:
                post.answer.set_result(None if result == _POSTED else Known(result[1:], result.startswith(_WAITS)))

    def _wake_soon(self, mailbox: int) -> None:
        task = asyncio.create_task(self._wake_quietly(mailbox))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _wake_quietly(self, mailbox: int) -> None:
        with suppress(RedisError, OSError):  # only a hint: the sweep wakes the mailbox within a second
            await self._wake(mailbox)
