"""The gateway's side of the mailboxes: commands of concurrent requests travel together, and are durable on return.
While one pipeline is on its way, the next gathers; so the higher the load, the more one round trip and one fsync carry.
If an answer is lost, that is reported and the command never re-sent: it may or may not be in the mailbox, and only the
client (with an Idempotency-Key) can safely send it again.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from runtime.envelope import SCHEMA_VERSION
from runtime.mailboxes.redis_keys import awake_key, idempotency_key, stream_key

_log = logging.getLogger(__name__)

_SCRIPT: Final = (Path(__file__).parent / "post.lua").read_text()
_FORGET: Final = (Path(__file__).parent / "forget.lua").read_text()
_POSTED: Final = b"posted"
_FULL: Final = b"full"
_WAITS: Final = b"w"


class Claim(NamedTuple):
    """An idempotency key of a principal, and what to remember under it (at least one byte)."""

    principal: str
    key: str
    value: bytes


class Claimed(msgspec.Struct, frozen=True, array_like=True):
    """What is remembered under an idempotency key: the first command that used it, its request's fingerprint, and the
    id of what it is about."""

    fingerprint: bytes
    command_id: UUID
    resource: str

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @staticmethod
    def decode(value: bytes) -> "Claimed":
        return msgspec.msgpack.decode(value, type=Claimed)


class Known(NamedTuple):
    """What the first command with an idempotency key left there, and whether it still waits in the mailbox."""

    value: bytes
    waits: bool


class MailboxFull(Exception):
    """The mailbox is full; there will be room later."""


class PostQueueFull(Exception):
    """This process already has the maximum number of commands on their way to Redis."""


class MailboxesUnavailable(Exception):
    """Redis did not answer: whether the command was accepted is not known."""


class _Post(NamedTuple):
    entry: bytes
    claim: Claim | None
    answer: asyncio.Future[Known | None]


class Poster:
    """Posts to all mailboxes. `wake` is called, in the background, for a mailbox that was asleep."""

    def __init__(
        self,
        client: Redis,
        wake: Callable[[int], Awaitable[None]],
        *,
        mailbox_max_commands: int,
        queue_max_commands: int,
        awake_milliseconds: int,
        idempotency_seconds: int,
    ) -> None:
        self._client = client
        self._wake = wake
        self._script = ""
        self._arguments: tuple[str | int | bytes, ...] = (
            mailbox_max_commands,
            awake_milliseconds,
            idempotency_seconds * 1000,
            SCHEMA_VERSION,
        )
        self._queue_max_commands = queue_max_commands
        self._queued = 0
        self._gathering: dict[int, list[_Post]] = {}
        self._sending: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waking: set[asyncio.Task[None]] = set()

    async def post(self, mailbox: int, entry: bytes, claim: Claim | None = None) -> Known | None:
        """Accepts one command: on return it is on Redis's disk, after all that were posted there earlier. Returns None,
        or what an earlier command with the same idempotency key left: then nothing was posted. Raises MailboxFull,
        PostQueueFull or MailboxesUnavailable.
        """
        if self._queued >= self._queue_max_commands:
            raise PostQueueFull
        if self._loop is None:
            self._loop = asyncio.get_running_loop()  # which would cost a system call (getpid) each time
        answer: asyncio.Future[Known | None] = self._loop.create_future()
        self._gathering.setdefault(mailbox, []).append(_Post(entry, claim, answer))
        self._queued += 1
        if self._sending is None:
            self._sending = self._loop.create_task(self._send_all())
        return await answer

    async def post_once(
        self, mailbox: int, entry: bytes, claim: Claim | None, is_applied: Callable[[UUID], Awaitable[bool]]
    ) -> Claimed | None:
        """The same for claims that are `Claimed`; returns the first command with the key if it is still waiting, or if
        `is_applied` confirms that it was applied. Otherwise Redis remembers a history that is gone (Postgres was
        started afresh, or restored): the key is freed and the command posted. Raises what either raises."""
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
            return bool(await self._client.exists(idempotency_key(mailbox, claim.principal, claim.key)))
        except (RedisError, OSError) as error:
            raise MailboxesUnavailable(str(error)) from error

    async def _forget(self, mailbox: int, claim: Claim, value: bytes) -> None:
        key = idempotency_key(mailbox, claim.principal, claim.key)
        try:
            await self._client.eval(_FORGET, 1, key, value)
        except (RedisError, OSError) as error:
            raise MailboxesUnavailable(str(error)) from error

    async def close(self) -> None:
        """Waits for the commands on their way."""
        if self._sending is not None:
            await self._sending
        await asyncio.gather(*self._waking, return_exceptions=True)

    async def _send_all(self) -> None:
        try:
            while self._gathering:
                batch, self._gathering = self._gathering, {}
                await self._send(batch)
        finally:
            self._sending = None

    async def _send(self, batch: dict[int, list[_Post]]) -> None:
        try:
            answers = await self._execute(batch)
        except Exception as error:  # whatever it is, those who posted must be told
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
        answers = await self._evaluate(batch)
        unknown = [mailbox for mailbox, answer in zip(batch, answers, strict=True) if isinstance(answer, NoScriptError)]
        if not unknown:
            return answers
        # A restarted Redis has forgotten the script, and has done nothing for the calls that named it: only those are
        # repeated.
        self._script = await self._client.script_load(_SCRIPT)
        again = await self._evaluate({mailbox: batch[mailbox] for mailbox in unknown})
        by_mailbox = dict(zip(batch, answers, strict=True)) | dict(zip(unknown, again, strict=True))
        return list(by_mailbox.values())

    async def _evaluate(self, batch: dict[int, list[_Post]]) -> list[Any]:
        if not self._script:
            self._script = await self._client.script_load(_SCRIPT)
        pipeline = self._client.pipeline(transaction=False)
        for mailbox, posts in batch.items():
            keys = [stream_key(mailbox), awake_key(mailbox)]
            arguments = list(self._arguments)
            for post in posts:
                arguments.append(post.entry)
                if post.claim is None:
                    arguments.append(b"")
                else:
                    keys.append(idempotency_key(mailbox, post.claim.principal, post.claim.key))
                    arguments.append(post.claim.value)
            pipeline.execute_command("EVALSHA", self._script, len(keys), *keys, *arguments)
        return list(await pipeline.execute(raise_on_error=False))

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
            if post.answer.done():  # the request was abandoned meanwhile; its command is accepted all the same
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
