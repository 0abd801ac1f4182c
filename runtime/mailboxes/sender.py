"""Commands from others than the gateway: the CLI, jobs and reactions post them like anybody, and wait for outcomes.

Idempotency keys make it safe to send again what may have been sent before; the first outcome stands.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Self
from uuid import UUID

import asyncpg
import msgspec

from domain.ids import mailbox_of_slot
from domain.model import Command, Who
from runtime.activation import ActivationBroker, activate
from runtime.database import LOST_CONNECTION
from runtime.envelope import encode, seal
from runtime.mailboxes.post import Claim, Claimed, MailboxesUnavailable, MailboxFull, Poster, PostQueueFull
from runtime.records import FAILED, REJECTED, REPEATED
from runtime.redis_client import connect
from runtime.settings import Settings

# Without a single new outcome for so long, the rest is missing.
NO_PROGRESS_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_RETRY_SECONDS: Final = 0.1
_ASKED_AT_ONCE: Final = 5_000

# A repeated command's outcome is that of the first one. `applied_at` is when the batch began to decide.
_OUTCOMES: Final = f"""
    SELECT c.id, f.status, extract(epoch FROM f.applied_at - f.accepted_at)::float8 AS seconds,
        e.data->>'code' AS code, e.data->>'detail' AS detail
    FROM commands c
    LEFT JOIN events r ON r.seq = c.seq AND c.status = '{REPEATED}'
    JOIN commands f ON f.id = coalesce((r.data->>'first_command_id')::uuid, c.id)
    LEFT JOIN events e ON e.seq = f.seq AND f.status IN ('{REJECTED}', '{FAILED}')
    WHERE c.id = ANY($1::uuid[])
"""  # noqa: S608 - only our own constants go in


class Settled(msgspec.Struct, frozen=True):
    """`status` as in the commands table, `code` and `detail` of a rejection or failure, `seconds` from accepted to
    applied."""

    status: str
    seconds: float
    code: str | None = None
    detail: str | None = None


class KeyReused(Exception):
    """The idempotency key was used for another request."""


class Sender:
    """Posts commands of one process that is no gateway. A context manager."""

    def __init__(self, config: Settings) -> None:
        self._mailbox_count = config.mailbox_count
        self._redis = connect(config.redis_url)
        self._broker = ActivationBroker(config.redis_url)
        self._poster = Poster(
            self._redis,
            self._wake,
            mailbox_max_commands=config.mailbox_max_commands,
            queue_max_commands=config.post_queue_max_commands,
            awake_milliseconds=config.awake_milliseconds,
            idempotency_seconds=config.idempotency_seconds,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._poster.close()
        await self._broker.shutdown()
        await self._redis.aclose()

    async def send(
        self, command: Command, who: Who, *, key: str | None = None, fingerprint: bytes = b"", patience_seconds: float
    ) -> UUID:
        """Posts the command and returns its id: that of the first one if the key was used before for the same request,
        which the fingerprint tells. While a mailbox is full or Redis away it tries again, for so long; with a key that
        is safe, and without one only a full mailbox is waited for. Raises what the last attempt raised, or KeyReused.
        """
        until = time.monotonic() + patience_seconds
        envelope = seal(command, who, idempotency_key=key, fingerprint=fingerprint if key else None)
        claim = None
        if key is not None:
            claimed = Claimed(fingerprint, envelope.command_id, "")
            claim = Claim(who.principal, key, claimed.encode())
        mailbox = mailbox_of_slot(command.slot(), self._mailbox_count)
        while True:
            try:
                known = await self._poster.post(mailbox, encode(envelope), claim)
            except (MailboxFull, PostQueueFull, MailboxesUnavailable) as error:
                if time.monotonic() > until or (isinstance(error, MailboxesUnavailable) and key is None):
                    raise
                await asyncio.sleep(_RETRY_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter
                continue
            if known is None:
                return envelope.command_id
            first = Claimed.decode(known)
            if first.fingerprint != fingerprint:
                raise KeyReused(key)
            return first.command_id

    async def _wake(self, mailbox: int) -> None:
        await activate(self._broker, mailbox)


async def wait_for_outcomes(
    pool: asyncpg.Pool[Any], command_ids: Iterable[UUID], progress: Callable[[int], None] = lambda done: None
) -> dict[UUID, Settled]:
    """The outcomes as they come in, until all are there or none has come for NO_PROGRESS_SECONDS; that the database is
    away for a while is no reason to give up earlier. `progress` is told how many there are.
    """
    waiting = set(command_ids)
    outcomes: dict[UUID, Settled] = {}
    last_news = time.monotonic()
    while waiting:
        try:
            found = await _outcomes(pool, list(waiting))
        except LOST_CONNECTION:
            found = {}
        if found:
            outcomes |= found
            waiting -= found.keys()
            last_news = time.monotonic()
            progress(len(outcomes))
        elif time.monotonic() - last_news > NO_PROGRESS_SECONDS:
            break
        else:
            await asyncio.sleep(_POLL_SECONDS)
    return outcomes


async def _outcomes(pool: asyncpg.Pool[Any], command_ids: Sequence[UUID]) -> dict[UUID, Settled]:
    found: dict[UUID, Settled] = {}
    for start in range(0, len(command_ids), _ASKED_AT_ONCE):
        for row in await pool.fetch(_OUTCOMES, command_ids[start : start + _ASKED_AT_ONCE]):
            found[row["id"]] = Settled(row["status"], row["seconds"], row["code"], row["detail"])
    return found
