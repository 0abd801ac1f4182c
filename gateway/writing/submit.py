"""Turns a validated request into an accepted command: its ids, its mailbox, its idempotency key, and the wait. A write
is answered with 202 as soon as the command is durable. With `Prefer: wait=N`, it waits up to N seconds for the outcome.
A repeated request (same principal, key, method, path and body) joins the first one's command and gets the same answer.
"""

import hashlib
import time
from typing import Final, NamedTuple
from uuid import UUID

import msgspec
from fastapi import Request, Response

from domain.ids import mailbox_of_slot, new_id, slot_of_id, slot_of_key, text_of
from domain.model import Actor, Command
from gateway.web import API
from gateway.web.problems import Problem
from gateway.web.requests import canonical, idempotency_key, preferred_wait
from gateway.writing.backlog import Backlog
from gateway.writing.waiting import Waiters
from runtime import logs, tracing
from runtime.entropy import random_bits
from runtime.envelope import Envelope, encode, seal
from runtime.mailboxes.post import Claim, Claimed, MailboxesUnavailable, MailboxFull, Poster, PostQueueFull
from runtime.metrics import ACCEPTED
from runtime.records import APPLIED, REJECTED, REPEATED, Outcome


class _Said(msgspec.Struct, gc=False):
    """The body of a 202."""

    id: str
    command_id: str
    status_url: str
    guest_token: str | msgspec.UnsetType = msgspec.UNSET


_encoder: Final = msgspec.json.Encoder()


class _Receipt(Response):
    """A 202. Starlette takes longer to build a response from a body and headers than it takes to make the body."""

    def __init__(self, body: bytes, location: str, headers: dict[str, str]) -> None:
        self.status_code = 202
        self.body = body
        self.background = None
        self.raw_headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"location", location.encode()),
        ]
        for name, value in headers.items():
            self.raw_headers.append((name.lower().encode(), value.encode()))


class Accepted(NamedTuple):
    """A durable command, and its outcome, if the request waited for it and it arrived in time."""

    command_id: UUID
    resource: str
    replayed: bool
    applied_wait: int | None
    outcome: Outcome | None

    def headers(self) -> dict[str, str]:
        """The headers that say how the request was treated."""
        headers = {}
        if self.replayed:
            headers["Idempotency-Replayed"] = "true"
        if self.outcome is not None:
            if self.applied_wait is not None:
                headers["Preference-Applied"] = f"wait={self.applied_wait}"
            headers["Tidegate-Seq"] = str(self.outcome.seq)
            headers["Tidegate-Command"] = str(self.command_id)
        return headers

    def response(self, guest_token: str | None = None) -> Response:
        """The 202: the id of what will be created, the URL of its status, and, for a guest, the token for that URL."""
        command_id = text_of(self.command_id)
        url = f"{API}/commands/{command_id}"
        said = _Said(self.resource, command_id, url, msgspec.UNSET if guest_token is None else guest_token)
        return _Receipt(_encoder.encode(said), url, self.headers())


class Ask(NamedTuple):
    """A validated write, before it becomes a command: who sent which bytes, and what its headers ask for."""

    actor: Actor
    key: str | None
    fingerprint: bytes | None
    wait: int | None
    preferred: bool


def ask(request: Request, actor: Actor, body: bytes, *, wait_seconds: int | None = None) -> Ask:
    """Reads the headers of a write; `wait_seconds` is how long it waits by default."""
    key = idempotency_key(request)
    fingerprint = None
    if key is not None:
        said = f"{request.method} {request.scope['path']}\n".encode() + canonical(body)
        fingerprint = hashlib.blake2b(said, digest_size=16).digest()
    wait = preferred_wait(request)
    return Ask(actor, key, fingerprint, wait_seconds if wait is None else wait, wait is not None)


class Submitter:
    """Posts commands for one gateway process, and waits for their outcomes if asked to."""

    def __init__(
        self,
        poster: Poster,
        waiters: Waiters,
        backlog: Backlog,
        *,
        reply_channel: str,
        mailbox_count: int,
        wait_max_seconds: float,
        development: bool,
    ) -> None:
        """`development`: commands accepted here create credentials for development only."""
        self._poster = poster
        self._waiters = waiters
        self._backlog = backlog
        self._reply_channel = reply_channel
        self._mailbox_count = mailbox_count
        self._wait_max_seconds = int(wait_max_seconds)
        self._development = development

    def new_resource_id(self, asked: Ask) -> UUID:
        """An id for what a write creates. With an idempotency key, its slot is derived from the key, so that a
        repetition goes to the same mailbox, which remembers the first request."""
        random = random_bits()
        slot = random >> 52 if asked.key is None else slot_of_key(f"{asked.actor.principal}\n{asked.key}")
        return new_id(time.time_ns() // 1_000_000, slot, random)

    @staticmethod
    def new_id_beside(resource_id: UUID) -> UUID:
        """A new id in the slot of an existing one."""
        return new_id(time.time_ns() // 1_000_000, slot_of_id(resource_id), random_bits())

    async def repeats(self, asked: Ask, about: UUID) -> bool:
        """Whether an earlier write about this has used the Idempotency-Key: then this one is not carried out again, and
        counts towards no limit. Raises a 503 Problem."""
        if asked.key is None:
            return False
        try:
            return await self._poster.remembers(self._mailbox_of(about), Claim(asked.actor.principal, asked.key, b""))
        except MailboxesUnavailable:
            raise _unavailable() from None

    async def submit(self, asked: Ask, command: Command, resource: str, *, deferrable: bool = False) -> Accepted:
        """Posts the command; `resource` is the id of what it is about. Raises 503 and 422 Problems. If the write waits,
        the result has the outcome, unless that takes longer; a rejection or failure is raised as its Problem. A
        `deferrable` command is rejected while the backlog is too long, unless it comes from staff or repeats another.
        """
        wait = None if not asked.wait else min(asked.wait, self._wait_max_seconds)
        if not self._waiters.has_room:
            wait = None
        applied_wait = wait if asked.preferred else None
        with tracing.span("post command", "producer", tidegate__command__type=type(command).__name__):
            envelope = seal(
                command,
                asked.actor,
                reply_to=self._reply_channel if wait else None,
                idempotency_key=asked.key,
                fingerprint=asked.fingerprint,
                development=self._development,
            )
            command_id = envelope.command_id
            logs.note(command_id=command_id, order_id=getattr(command, "order_id", None))
            expected = self._waiters.expect(command_id) if wait else None
            try:
                first = await self._post(envelope, asked, resource, deferrable=deferrable)
            except BaseException:
                if expected is not None:
                    self._waiters.forget(command_id, expected)
                raise
        outcome = None
        if first is not None:
            if wait and expected is not None:
                self._waiters.forget(command_id, expected)
                outcome = await self._waiters.watch(first.command_id, wait)
            return await self._settled(Accepted(first.command_id, first.resource, True, applied_wait, outcome))
        ACCEPTED.labels(type(command).__name__).inc()
        if wait and expected is not None:
            with tracing.span("wait for outcome"):
                outcome = await self._waiters.wait(command_id, expected, wait)
        return await self._settled(Accepted(command_id, resource, False, applied_wait, outcome))

    async def _post(self, envelope: Envelope, asked: Ask, resource: str, *, deferrable: bool) -> Claimed | None:
        """Posts the command; if it repeats an earlier request, returns what that left."""
        mailbox, claim = self._mailbox_of(envelope.command_id), None
        if asked.key is not None and asked.fingerprint is not None:
            claimed = Claimed(asked.fingerprint, envelope.command_id, resource)
            claim = Claim(asked.actor.principal, asked.key, claimed.encode())
        try:
            if deferrable and not asked.actor.is_staff:
                await self._admit(mailbox, claim)
            first = await self._poster.post_once(mailbox, encode(envelope), claim, self._waiters.is_applied)
        except MailboxFull:
            raise Problem("mailbox_full", "Too many commands are waiting; try again soon.") from None
        except PostQueueFull:
            raise Problem("gateway_busy", "This gateway is posting too many commands; try again soon.") from None
        except MailboxesUnavailable:
            raise _unavailable() from None
        if first is not None and first.fingerprint != asked.fingerprint:
            raise _key_reused()
        return first

    def _mailbox_of(self, about: UUID) -> int:
        return mailbox_of_slot(slot_of_id(about), self._mailbox_count)

    async def _admit(self, mailbox: int, claim: Claim | None) -> None:
        """Raises the backlog's 503 Problem, except for a repetition, which does not add to the backlog."""
        try:
            self._backlog.admit(mailbox)
        except Problem:
            if claim is None or not await self._poster.remembers(mailbox, claim):
                raise

    async def _settled(self, accepted: Accepted) -> Accepted:
        """`accepted` with the first command's outcome in place of a repetition's; raises rejections and failures."""
        outcome = accepted.outcome
        if outcome is None:
            return accepted
        if outcome.status == REPEATED:
            first = UUID(msgspec.json.decode(outcome.data)["first_command_id"])
            outcome = await self._waiters.look_up(first)
            if outcome is None:
                raise Problem("database_unavailable", "The first request's outcome cannot be read now.")
            accepted = accepted._replace(command_id=first, replayed=True, outcome=outcome)
        if outcome.status != APPLIED:
            raise _refused(outcome, accepted.headers())
        return accepted


def _unavailable() -> Problem:
    return Problem(
        "mailboxes_unavailable",
        "Commands cannot be accepted now. This one may or may not have been accepted; with an Idempotency-Key it is "
        "safe to send it again.",
    )


def _key_reused() -> Problem:
    return Problem("idempotency_key_reused", "This idempotency key was already used for a different request.")


def _refused(outcome: Outcome, headers: dict[str, str]) -> Problem:
    """The problem for a rejected or failed command."""
    data = msgspec.json.decode(outcome.data)
    extensions = {"command_id": str(outcome.command_id), "seq": outcome.seq, **data.get("particulars", {})}
    if outcome.status == REJECTED:
        return Problem(data["code"], data["detail"], extensions=extensions, headers=headers)
    return Problem(
        "command_failed",
        "The command could not be applied and was dead-lettered.",
        extensions=extensions,
        headers=headers,
    )
