"""The gateway's posting and the workers' draining in this process, on a real Postgres and a real Redis: what tests need
to put commands into mailboxes, to drain them when they want, and to look at the outcomes.

It starts nothing by itself: woken mailboxes are recorded in `woken`, and are not drained until the test drains them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Self
from uuid import UUID

import asyncpg
import msgspec
from prometheus_client import REGISTRY

from domain.catalogue import PutListing
from domain.ids import SLOT_COUNT, mailbox_of_slot, new_id
from domain.model import Actor, Command, Wanted
from domain.orders import PlaceOrder
from domain.stock import ReceiveStock
from ops.articles import Article, listing
from ops.verify import verify
from runtime import envelope as envelopes
from runtime.database import LOST_CONNECTION, create_batch_pool
from runtime.envelope import ENVELOPE_FIELD, SCHEMA_VERSION, VERSION_FIELD, Envelope
from runtime.feed import Publisher
from runtime.mailboxes.inbox import Inbox
from runtime.mailboxes.post import Claim, Poster
from runtime.mailboxes.redis_keys import stream_key
from runtime.redis_client import REDIS_UNAVAILABLE, connect
from runtime.redis_pipeline import NO_COPIES, Client, Copies
from tests.system import eventually_seen
from workers.apply import Applier
from workers.drain import Drainer

ANN: Final = Actor.in_role("ann", "customer")
BOB: Final = Actor.in_role("bob", "customer")
STAFF: Final = Actor.in_role("sam", "staff")

PRICE_MINOR: Final = 100

_log = logging.getLogger(__name__)

# A date in the past: ids made here never collide with those of the code under test.
FIRST_MS: Final = 1_600_000_000_000
_ACCEPTED_AT: Final = 1_700_000_000_000_000
_CONNECTIONS: Final = 24
_BATCH_MAX_SECONDS: Final = 20.0
_DRAIN_MAX_SECONDS: Final = 30.0
_BATCH_CONCURRENCY: Final = 4
_LINGER_MILLISECONDS: Final = 1
_REDIS_HZ: Final = 200


class Settled(NamedTuple):
    """A command's record; `code` is that of its refusal or failure."""

    status: str
    code: str | None
    seq: int


class Shopfloor:
    """`async with Shopfloor(database_url, redis_url) as floor:`; every bound is a keyword."""

    def __init__(
        self,
        database_url: str,
        redis_url: str,
        *,
        mailbox_count: int = 4,
        mailbox_max_commands: int = 10_000,
        mailbox_max_bytes: int = 33_554_432,
        idempotency_seconds: int = 3_600,
        idempotency_max_bytes: int = 33_554_432,
        queue_max_commands: int = 10_000,
        batch_max_commands: int = 64,
        batch_max_bytes: int = 524_288,
        awake_milliseconds: int = 60_000,
        copies: Copies = NO_COPIES,
        numbers: Iterator[int] | None = None,
    ) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        self.mailbox_count = mailbox_count
        self.batch_max_commands = batch_max_commands
        self.batch_max_bytes = batch_max_bytes
        self.awake_milliseconds = awake_milliseconds
        self.mailbox_max_commands = mailbox_max_commands
        self.mailbox_max_bytes = mailbox_max_bytes
        self.idempotency_seconds = idempotency_seconds
        self.idempotency_max_bytes = idempotency_max_bytes
        self.queue_max_commands = queue_max_commands
        self.copies = copies
        self.woken: list[int] = []
        self.helped = 0
        self.tax_provider: str | None = None
        self.delivery_provider: str | None = None
        self.redis = connect(redis_url)
        self.publisher = Publisher(redis_url)
        self.inbox = self.new_inbox(Inbox)
        self.poster = self.new_poster(self.redis)
        self.pool: asyncpg.Pool[Any]
        self.numbers = numbers or itertools.count(1)
        """The source of the ids made here; floors that share it never make one twice."""

    async def __aenter__(self) -> Self:
        self.pool = await create_batch_pool(self.database_url, size=_CONNECTIONS, batch_max_seconds=_BATCH_MAX_SECONDS)
        # How often an idle server checks whether a blocked read has waited long enough.
        for server in await self.redis.servers():
            await server.config_set("hz", _REDIS_HZ)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.poster.close()
        self.pool.terminate()
        await self.publisher.close()
        await self.redis.aclose()

    # The parts of processes.

    def new_inbox(self, kind: type[Inbox]) -> Inbox:
        return kind(self.redis, awake_milliseconds=self.awake_milliseconds, read_max_bytes=self.batch_max_bytes)

    def new_poster(self, client: Client) -> Poster:
        return Poster(
            client,
            self._note_wake,
            mailbox_max_commands=self.mailbox_max_commands,
            mailbox_max_bytes=self.mailbox_max_bytes,
            queue_max_commands=self.queue_max_commands,
            awake_milliseconds=self.awake_milliseconds,
            idempotency_seconds=self.idempotency_seconds,
            idempotency_max_bytes=self.idempotency_max_bytes,
            copies=self.copies,
        )

    def new_drainer(self, inbox: Inbox | None = None) -> Drainer:
        """A worker's drainer, with the memory of one process."""
        inbox = inbox or self.inbox
        return Drainer(
            Applier(
                self.pool,
                self.publisher,
                inbox.fence,
                tax_provider=self.tax_provider,
                delivery_provider=self.delivery_provider,
            ),
            inbox,
            batch_max_commands=self.batch_max_commands,
            batch_concurrency=_BATCH_CONCURRENCY,
            linger_milliseconds=_LINGER_MILLISECONDS,
            awake_milliseconds=self.awake_milliseconds,
            ask_for_help=self._note_help,
        )

    async def _note_help(self) -> None:
        self.helped += 1

    async def _note_wake(self, mailbox: int) -> None:
        self.woken.append(mailbox)

    # Commands.

    def new_id(self, mailbox: int = 0) -> UUID:
        """A new id whose commands go to that mailbox."""
        number = next(self.numbers)
        first_slot = -(-mailbox * SLOT_COUNT // self.mailbox_count)
        return new_id(FIRST_MS + number, first_slot, number)

    def mailbox_of(self, command: Command) -> int:
        return mailbox_of_slot(command.slot(), self.mailbox_count)

    def place(self, mailbox: int = 0, order_id: UUID | None = None, actor: Actor = ANN, **lines: int) -> PlaceOrder:
        """An order of these pieces by SKU."""
        wanted = tuple(Wanted(sku, quantity) for sku, quantity in lines.items())
        return PlaceOrder(order_id or self.new_id(mailbox), actor.principal, wanted)

    @staticmethod
    def listing(sku: str, on_hand: int | None = None) -> PutListing:
        """The command that puts a SKU on sale, as `fill` does."""
        return listing(Article(sku, sku.title(), PRICE_MINOR, "GBP"), on_hand)

    def envelope(
        self,
        command: Command | msgspec.Raw,
        *,
        actor: Actor = ANN,
        command_id: UUID | None = None,
        key: str | None = None,
        fingerprint: bytes | None = None,
        reply_to: str | None = None,
        development: bool = False,
    ) -> Envelope:
        return Envelope(
            command_id or self.new_id(),
            actor.principal,
            actor.is_staff,
            _ACCEPTED_AT,
            command if isinstance(command, msgspec.Raw) else envelopes.encode_command(command),
            reply_to,
            key,
            fingerprint if fingerprint is not None or key is None else b"the same request",
            development,
            actor.role,
            envelopes.named_scopes(actor),
            1 if isinstance(command, msgspec.Raw) else command.schema_version,
        )

    async def post(
        self, command: Command, *, mailbox: int | None = None, claim: Claim | None = None, **more: Any
    ) -> UUID:
        """Posts the command, to its own mailbox unless told otherwise; returns its id. For `more`, see `envelope`."""
        envelope = self.envelope(command, **more)
        where = self.mailbox_of(command) if mailbox is None else mailbox
        await self.poster.post(where, envelopes.encode(envelope), claim)
        return envelope.command_id

    async def post_all(self, commands: Iterable[Command], **more: Any) -> list[UUID]:
        """Posts the commands as concurrent requests do, in this order; returns their ids."""
        return await asyncio.gather(*(self.post(command, **more) for command in commands))

    async def post_envelope(self, envelope: Envelope, mailbox: int = 0) -> None:
        await self.poster.post(mailbox, envelopes.encode(envelope))

    async def put(self, mailbox: int, fields: Mapping[bytes, bytes]) -> str:
        """Puts any entry into a mailbox as it is; returns its id."""
        entry_id: Any = await self.redis.xadd(stream_key(mailbox), dict(fields))  # type: ignore[arg-type]
        return str(entry_id, "ascii")

    @staticmethod
    def entry(envelope: Envelope) -> dict[bytes, bytes]:
        return {VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: envelopes.encode(envelope)}

    async def fill(self, **on_hand: int) -> None:
        """Puts products into the catalogue, and these pieces of each on hand, by ordinary commands."""
        await self._have_applied([self.listing(sku) for sku in on_hand])
        await self._have_applied([ReceiveStock(sku, quantity) for sku, quantity in on_hand.items() if quantity])

    async def _have_applied(self, commands: Iterable[Command]) -> None:
        """Posts staff's commands and drains; they are applied when it returns, even if another drainer is at work."""
        posted = [await self.post(command, actor=STAFF) for command in commands]

        async def recorded() -> bool:
            await self.drain()
            known = await self.pool.fetchval("SELECT count(*) FROM commands WHERE id = ANY($1::uuid[])", posted)
            return bool(known == len(posted))

        await eventually_seen("outcomes of all commands posted", recorded, within_seconds=_DRAIN_MAX_SECONDS)

    async def drain(self, *mailboxes: int) -> None:
        """Drains these mailboxes, or all, until they are empty."""
        async with asyncio.timeout(_DRAIN_MAX_SECONDS):
            await self.new_drainer().drain(mailboxes or range(self.mailbox_count))

    async def work(self) -> None:
        """Drains all mailboxes if anything is in them, as workers do. What fails now, for a lost connection say, is
        left to the next time, as the sweep leaves it."""
        try:
            looking = self.redis.pipeline(transaction=False)
            for mailbox in range(self.mailbox_count):
                looking.xlen(stream_key(mailbox))
            if any(await looking.execute()):  # most of the time nothing is, and a drainer asks more
                await self.new_drainer().drain(range(self.mailbox_count))
        except (*LOST_CONNECTION, *REDIS_UNAVAILABLE) as error:
            _log.warning("mailboxes wait (%s: %s)", type(error).__name__, error)

    # Outcomes.

    async def waiting(self, mailbox: int = 0) -> int:
        """The number of entries in a mailbox."""
        length: int = await self.redis.xlen(stream_key(mailbox))
        return length

    async def settled(self) -> dict[UUID, Settled]:
        """Every recorded command, in the order of the log."""
        rows = await self.pool.fetch(
            "SELECT c.id, c.status, e.data->>'code', c.seq FROM commands c JOIN events e USING (seq) ORDER BY seq"
        )
        return {command_id: Settled(*rest) for command_id, *rest in rows}

    async def statuses(self, command_ids: Sequence[UUID]) -> list[str]:
        """The outcomes of these commands: `applied`, or the status and the code."""
        settled = await self.settled()
        return [_said(settled.get(command_id)) for command_id in command_ids]

    async def forgotten(self) -> list[int]:
        """Mailboxes that hold entries and are not awake."""
        return await self.inbox.forgotten(range(self.mailbox_count))

    async def stock(self, sku: str) -> tuple[int, int]:
        """Pieces on hand and reserved."""
        row = await self.pool.fetchrow("SELECT on_hand, reserved FROM stock WHERE sku = $1", sku)
        assert row is not None
        return row["on_hand"], row["reserved"]

    async def order_status(self, order_id: UUID) -> str | None:
        status: str | None = await self.pool.fetchval("SELECT status FROM orders WHERE id = $1", order_id)
        return status

    async def dead_letters(self) -> list[tuple[int, str, UUID | None, str]]:
        """Mailbox, entry id, command id and code of each, oldest first."""
        rows = await self.pool.fetch(
            "SELECT mailbox, entry_id, command_id, code FROM dead_letters ORDER BY failed_at, mailbox, entry_id"
        )
        return [tuple(row) for row in rows]

    async def log(self) -> list[int]:
        """The seqs of the log, as a reader sees them now."""
        return [row["seq"] for row in await self.pool.fetch("SELECT seq FROM events ORDER BY seq")]

    async def verified(self) -> dict[str, int]:
        """The counts of `verify`; fails with the differences if there are any."""
        report = await verify(self.database_url, self.redis_url, mailbox_count=self.mailbox_count)
        assert report.clean, report.differences
        return report.counts


def _said(settled: Settled | None) -> str:
    if settled is None:
        return "not recorded"
    return settled.status if settled.code is None else f"{settled.status}: {settled.code}"


def retries(*reasons: str) -> float:
    """How often this process has retried batches for these reasons."""
    return sum(REGISTRY.get_sample_value("tidegate_batch_retries_total", {"reason": each}) or 0.0 for each in reasons)
