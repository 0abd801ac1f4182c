"""Sends commands that do not come through the gateway: the CLI, jobs and reactions post them the same way, and wait for
their outcomes. Idempotency keys make it safe to send a command again; its first outcome counts.
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
from domain.model import Actor, Command
from domain.refusals import CommandFailed, CommandRejected, CommandRepeated
from runtime.activation import ActivationBroker, activate
from runtime.database import CONNECT_TIMEOUT_SECONDS, LOST_CONNECTION, asyncpg_dsn
from runtime.envelope import encode, seal
from runtime.mailboxes.post import Claim, Claimed, MailboxesUnavailable, MailboxFull, Poster, PostQueueFull
from runtime.records import REPEATED
from runtime.redis_client import connect
from runtime.redis_pipeline import Copies
from runtime.settings import Settings

# After this long without a new outcome, the rest counts as missing.
NO_PROGRESS_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02
_PAUSES_PER_ANSWER: Final = 2
_RETRY_SECONDS: Final = 0.1
_ASKED_AT_ONCE: Final = 5_000

# Two statements, each using a primary key, because for a join the planner may read whole tables. `applied_at` is when
# the batch began to decide.
_COMMANDS: Final = """
    SELECT id, status, extract(epoch FROM applied_at - accepted_at)::float8 AS seconds, seq
    FROM commands WHERE id = ANY($1::uuid[])
"""
_EVENTS: Final = f"""
    SELECT seq, type, CASE WHEN type IN ('{CommandRejected.type}', '{CommandFailed.type}', '{CommandRepeated.type}')
        THEN data::text END AS said
    FROM events WHERE seq = ANY($1::bigint[])
"""  # noqa: S608 - only our own constants go in


class Settled(msgspec.Struct, frozen=True):
    """An outcome: `status` as in the commands table; `type` of the first event, empty if that is archived; `code` and
    `detail` of a rejection or failure; `seconds` from acceptance to application."""

    status: str
    seconds: float
    type: str
    code: str | None = None
    detail: str | None = None


class KeyReused(Exception):
    """The idempotency key was used for another request."""


class Sender:
    """Posts the commands of one process that is not a gateway. A context manager."""

    def __init__(self, config: Settings) -> None:
        self._mailbox_count = config.mailbox_count
        self._database_url = config.database_url
        self._development = config.mode == "development"
        self._redis = connect(config.redis_url)
        self._broker = ActivationBroker(config.redis_url)
        self._poster = Poster(
            self._redis,
            self._wake,
            mailbox_max_commands=config.mailbox_max_commands,
            mailbox_max_bytes=config.mailbox_max_bytes,
            queue_max_commands=config.post_queue_max_commands,
            awake_milliseconds=config.awake_milliseconds,
            idempotency_seconds=config.idempotency_seconds,
            idempotency_max_bytes=config.idempotency_max_bytes,
            copies=Copies(config.accept_min_replicas, config.accept_replicas_milliseconds),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._poster.close()
        await self._broker.shutdown()
        await self._redis.aclose()

    async def send(
        self,
        command: Command,
        actor: Actor,
        *,
        key: str | None = None,
        fingerprint: bytes = b"",
        remembered: bool = True,
        patience_seconds: float,
    ) -> UUID:
        """Posts the command and returns its id; if the key was used before for the same request (by fingerprint), that
        of the first command. Retries up to the given time while the mailbox is full, and, if there is a key to make
        that safe, also while Redis is unavailable. Raises what the last attempt raised, or KeyReused. Unless
        `remembered`, the key takes no memory in Redis, and only Postgres recognises a repetition: the command then has
        its own id, and the outcome of the first. This is for hundreds of thousands of keys that are hardly ever used
        again.
        """
        until = time.monotonic() + patience_seconds
        envelope = seal(
            command,
            actor,
            idempotency_key=key,
            fingerprint=fingerprint if key else None,
            development=self._development,
        )
        claim = None
        if key is not None and remembered:
            claimed = Claimed(fingerprint, envelope.command_id, "")
            claim = Claim(actor.principal, key, claimed.encode())
        mailbox = mailbox_of_slot(command.slot(), self._mailbox_count)
        while True:
            try:
                first = await self._poster.post_once(mailbox, encode(envelope), claim, self._is_applied)
            except (MailboxFull, PostQueueFull, MailboxesUnavailable) as error:
                if time.monotonic() > until or (isinstance(error, MailboxesUnavailable) and key is None):
                    raise
                await asyncio.sleep(_RETRY_SECONDS * (0.5 + random.random()))  # noqa: S311 - jitter
                continue
            if first is None:
                return envelope.command_id
            if first.fingerprint != fingerprint:
                raise KeyReused(key)
            return first.command_id

    async def _is_applied(self, command_id: UUID) -> bool:
        """Whether the log has the command. It is asked so rarely that each call opens a connection."""
        connection = await asyncpg.connect(asyncpg_dsn(self._database_url), timeout=CONNECT_TIMEOUT_SECONDS)
        try:
            found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM commands WHERE id = $1)", command_id)
        finally:
            await connection.close()
        return found

    async def _wake(self, mailbox: int) -> None:
        await activate(self._broker, mailbox)


async def wait_for_outcomes(
    pool: asyncpg.Pool[Any], command_ids: Iterable[UUID], progress: Callable[[int], None] = lambda done: None
) -> dict[UUID, Settled]:
    """Collects outcomes until all are there, or none has arrived for NO_PROGRESS_SECONDS; survives the loss of the
    database meanwhile. A repeated command's outcome is that of the first one. `progress` is called with the number of
    outcomes so far.
    """
    waiting = set(command_ids)
    outcomes: dict[UUID, Settled] = {}
    last_news = time.monotonic()
    while waiting:
        asked = time.monotonic()
        try:
            found = await read_outcomes(pool, list(waiting))
        except LOST_CONNECTION:
            found = {}
        now = time.monotonic()
        if found:
            outcomes |= found
            waiting -= found.keys()
            last_news = now
            progress(len(outcomes))
        elif now - last_news > NO_PROGRESS_SECONDS:
            break
        if waiting:  # the slower the query, the less often it is made
            await asyncio.sleep(max(_POLL_SECONDS, _PAUSES_PER_ANSWER * (now - asked)))
    return outcomes


async def read_outcomes(pool: asyncpg.Pool[Any], command_ids: Sequence[UUID]) -> dict[UUID, Settled]:
    """The outcomes known so far. A repeated command's outcome is that of the first one."""
    found: dict[UUID, Settled] = {}
    repeated: dict[UUID, list[UUID]] = {}
    for start in range(0, len(command_ids), _ASKED_AT_ONCE):
        commands = await pool.fetch(_COMMANDS, command_ids[start : start + _ASKED_AT_ONCE])
        events = {seq: rest for seq, *rest in await pool.fetch(_EVENTS, [row["seq"] for row in commands])}
        for command_id, status, seconds, seq in commands:
            kind, said = events.get(seq, ("", None))
            particulars = {} if said is None else msgspec.json.decode(said)
            if status == REPEATED and said is not None:
                repeated.setdefault(UUID(particulars["first_command_id"]), []).append(command_id)
            else:
                found[command_id] = Settled(status, seconds, kind, particulars.get("code"), particulars.get("detail"))
    if repeated:
        for first, settled in (await read_outcomes(pool, list(repeated))).items():
            found.update(dict.fromkeys(repeated[first], settled))
    return found
