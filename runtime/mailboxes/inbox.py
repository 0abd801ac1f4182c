"""The worker's side of the mailboxes: read behind a position, trim what is applied, and keep them awake.

Nothing here decides what is applied: that is the position row in Postgres. Redis may forget or repeat any of this.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from redis.asyncio import Redis

from runtime.mailboxes.fence import Fence
from runtime.mailboxes.keys import LEADER_KEY, awake_key, log_key, stream_key

_FOLDER: Final = Path(__file__).parent
_TRIM: Final = (_FOLDER / "trim.lua").read_text()
_TRIM_DIGEST: Final = sha1(_TRIM.encode(), usedforsecurity=False).hexdigest()
_REJOIN: Final = (_FOLDER / "rejoin.lua").read_text()
_LEAD: Final = (_FOLDER / "lead.lua").read_text()
_RESIGN: Final = (_FOLDER / "resign.lua").read_text()


# Entries; as many of the largest are some megabytes.
_LEAST_ASKED_FOR: Final = 16


class Entry(NamedTuple):
    """One waiting command; `entry_id` orders it (milliseconds-sequence)."""

    entry_id: str
    fields: dict[bytes, bytes]


class Bookmark(NamedTuple):
    """How far a mailbox is applied, and to which log (its identity)."""

    position: str
    identity: UUID


class Remembered(NamedTuple):
    """What Redis knows of the log, beside a mailbox."""

    identity: UUID
    position: str

    def fits(self, bookmark: Bookmark) -> bool:
        """Whether Postgres knows of all this."""
        return self.identity == bookmark.identity and entry_order(self.position) <= entry_order(bookmark.position)


def remembered(fields: list[bytes | None]) -> Remembered | None:
    """From the fields `identity` and `position`; None if Redis knows nothing yet."""
    identity, position = fields
    if identity is None or position is None:
        return None
    return Remembered(UUID(identity.decode()), position.decode())


def entry_order(entry_id: str) -> tuple[int, int]:
    """What entry ids sort by: as text, 10-0 would stand before 9-0."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


class Inbox:
    """The mailboxes as a worker sees them."""

    def __init__(self, client: Redis, *, awake_milliseconds: int, read_max_bytes: int) -> None:
        self._client = client
        self.fence = Fence()
        self._read_max_bytes = read_max_bytes
        self._fit_lately = sys.maxsize
        self._awake_milliseconds = awake_milliseconds
        self._rejoin = client.register_script(_REJOIN)
        self._lead = client.register_script(_LEAD)

    async def read(self, mailbox: int, position: str, count: int) -> list[Entry]:
        """Up to `count` entries behind `position`, oldest first: as many as fit, but one however large it is. For who
        only looks: what is to be applied is read by `read_each`, which asks the fence."""
        found: Any = await self._client.xrange(stream_key(mailbox), min=f"({position}", count=self.asks(count))
        entries = [(mailbox, Entry(entry_id.decode(), fields)) for entry_id, fields in found]
        return [entry for _, entry in self.fitting(entries)]

    def asks(self, count: int) -> int:
        """How many entries of a mailbox are asked for where `count` are wanted."""
        return min(count, 2 * self._fit_lately)

    def fitting(self, entries: Sequence[tuple[int, Entry]]) -> Sequence[tuple[int, Entry]]:
        """As many of the first entries as fit into one batch by their bytes, but one however large it is.

        Redis knows no bound in bytes, and what does not fit was read in vain: from now on no more than twice as many
        are asked for as fit lately.
        """
        size = 0
        for number, (_, entry) in enumerate(entries):
            size += sum(map(len, entry.fields.values()))
            if number and size > self._read_max_bytes:
                self._fit_lately = max(number, _LEAST_ASKED_FOR)
                return entries[:number]
        if len(entries) >= 2 * self._fit_lately:
            self._fit_lately = len(entries)
        return entries

    async def read_each(
        self, positions: Mapping[int, str], count: int, *, wait_milliseconds: int | None = None
    ) -> dict[int, list[Entry]]:
        """Up to `count` entries behind each position, oldest first, of those mailboxes that have any: one round trip
        for all. With `wait_milliseconds`, waits so long for the first to come. The fence hears of the log last."""
        mailboxes = {stream_key(mailbox): mailbox for mailbox in positions}
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xread(dict(zip(mailboxes, positions.values(), strict=True)), count=count, block=wait_milliseconds)
        self.fence.ask(pipeline)
        found, known_of_log = await pipeline.execute()
        self.fence.hear(known_of_log)
        return {
            mailboxes[stream.decode()]: [Entry(entry_id.decode(), fields) for entry_id, fields in entries]
            for stream, entries in found
        }

    async def out_of_step(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        """The mailboxes of which Redis has seen more applied than these positions say, or to another log than the one
        of this identity: Postgres was put back or begun anew, or somebody else has moved on meanwhile."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in positions:
            pipeline.hmget(log_key(mailbox), "identity", "position")
        answers = map(remembered, await pipeline.execute())
        return [
            mailbox
            for (mailbox, position), known in zip(positions.items(), answers, strict=True)
            if known is not None and not known.fits(Bookmark(position, identity))
        ]

    async def trim(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        """Removes the entries up to and with each position: they are applied, to the log of this identity. Has Redis
        hear how far the log has come.

        Returns the mailboxes whose stream is out of step with that: there nothing was removed, and `rejoin` must come
        first.
        """
        pipeline = self._client.pipeline(transaction=False)
        for number, (mailbox, position) in enumerate(positions.items()):
            # The first call brings the script along, so the others need only name it. redis-py's way with scripts in a
            # pipeline costs a second round trip, to ask whether the server still knows it.
            call, script = (pipeline.eval, _TRIM) if number == 0 else (pipeline.evalsha, _TRIM_DIGEST)
            call(script, 2, stream_key(mailbox), log_key(mailbox), *map(str, entry_order(position)), str(identity))
        self.fence.confirm(pipeline)
        done = await pipeline.execute()
        return [mailbox for mailbox, in_step in zip(positions, done[: len(positions)], strict=True) if not in_step]

    async def rejoin(self, mailbox: int, bookmark: Bookmark, applied: int) -> int:
        """Brings a stream back into step with the bookmark and the number of entries ever applied. Returns how many
        entries wait behind the position now. The position must be locked meanwhile."""
        milliseconds, sequence = entry_order(bookmark.position)
        waiting: int = await self._rejoin(
            keys=[stream_key(mailbox), log_key(mailbox)],
            args=[bookmark.position, milliseconds, sequence, applied, str(bookmark.identity)],
        )
        return waiting

    async def lead(self, drainer: str) -> bool:
        """Whether `drainer` is the one that all mailboxes are awake for; it becomes so if nobody is. It stays so for as
        long as an awake mailbox does."""
        return bool(await self._lead(keys=[LEADER_KEY], args=[drainer, self._awake_milliseconds]))

    async def stay_awake(self, mailboxes: Iterable[int]) -> None:
        """Says that somebody drains these mailboxes; to be said again before `awake_milliseconds` are over."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in mailboxes:
            pipeline.set(awake_key(mailbox), b"1", px=self._awake_milliseconds)
        await pipeline.execute()

    async def fall_asleep(self, drainer: str, positions: Mapping[int, str]) -> bool:
        """Says that nobody drains these mailboxes any more, and that `drainer` no longer leads. False if something has
        just come in after a position: then stay awake."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in positions:
            pipeline.delete(awake_key(mailbox))
        pipeline.eval(_RESIGN, 1, LEADER_KEY, drainer)
        await pipeline.execute()
        return not (positions and await self.read_each(positions, 1))

    async def call_asleep(self, mailboxes: Iterable[int]) -> None:
        """Has the sweep wake these mailboxes if they hold anything: whoever was awake may have left it lying."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in mailboxes:
            pipeline.delete(awake_key(mailbox))
        await pipeline.execute()

    async def wake(self, mailbox: int) -> bool:
        """Takes the right to wake the mailbox; False if somebody else just has."""
        return bool(await self._client.set(awake_key(mailbox), b"1", nx=True, px=self._awake_milliseconds))

    async def forgotten(self, mailboxes: Iterable[int]) -> list[int]:
        """Those of the mailboxes that hold entries and have nobody awake."""
        asked = sorted(mailboxes)
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in asked:
            pipeline.xlen(stream_key(mailbox))
            pipeline.exists(awake_key(mailbox))
        answers = await pipeline.execute()
        waiting, awake = answers[::2], answers[1::2]
        return [m for m, entries, somebody in zip(asked, waiting, awake, strict=True) if entries and not somebody]
