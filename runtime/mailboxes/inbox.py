"""The worker's side of the mailboxes: reading after a position, trimming what is applied, and keeping them awake. What
is applied is decided not here but by the position row in Postgres. Redis may forget or repeat any of this.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from runtime.mailboxes.fence import Fence
from runtime.mailboxes.redis_keys import LEADER_KEY, awake_key, log_key, stream_key
from runtime.mailboxes.watch import Watch
from runtime.redis_client import always, as_far_as_possible
from runtime.redis_cluster import Cluster, NodeUnavailable
from runtime.redis_pipeline import Client, Script

_FOLDER: Final = Path(__file__).parent
_TRIM: Final = Script((_FOLDER / "trim.lua").read_text())
_REJOIN: Final = Script((_FOLDER / "rejoin.lua").read_text())
_LEAD: Final = Script((_FOLDER / "lead.lua").read_text())
_RESIGN: Final = Script((_FOLDER / "resign.lua").read_text())


# In entries; this many of the largest are a few megabytes.
_LEAST_ASKED_FOR: Final = 16


class Entry(NamedTuple):
    """One waiting command; `entry_id` orders it (milliseconds-sequence)."""

    entry_id: str
    fields: dict[bytes, bytes]


class Bookmark(NamedTuple):
    """How far a mailbox has been applied, and to which log (its identity)."""

    position: str
    identity: UUID


class Remembered(NamedTuple):
    """What Redis knows of the log, stored with a mailbox."""

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
    """The sort key of entry ids: as text, 10-0 would come before 9-0."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


class Inbox:
    """The mailboxes as a worker sees them. In a cluster, those on a node that is away are as if they were empty, or out
    of step, until it or a replica has come back."""

    def __init__(self, client: Client, *, awake_milliseconds: int, read_max_bytes: int) -> None:
        self._client = client
        self._watch = Watch(client) if isinstance(client, Cluster) else None
        self.fence = Fence()
        self._read_max_bytes = read_max_bytes
        self._fit_lately = sys.maxsize
        self._awake_milliseconds = awake_milliseconds

    async def read(self, mailbox: int, position: str, count: int) -> list[Entry]:
        """Up to `count` entries after `position`, oldest first: as many as fit, but at least one however large it is.
        Only for looking: entries to apply are read by `read_each`, which asks the fence."""
        found: Any = await self._client.xrange(stream_key(mailbox), min=f"({position}", count=self.asks(count))
        entries = [(mailbox, Entry(entry_id.decode(), fields)) for entry_id, fields in found]
        return [entry for _, entry in self.fitting(entries)]

    def asks(self, count: int) -> int:
        """How many of a mailbox's entries to request when `count` are wanted."""
        return min(count, 2 * self._fit_lately)

    def fitting(self, entries: Sequence[tuple[int, Entry]]) -> Sequence[tuple[int, Entry]]:
        """As many of the first entries as fit into one batch by their bytes, but at least one however large it is.
        Redis has no limit in bytes, and entries that do not fit were read in vain: from now on, at most twice as many
        are requested as fitted last time.
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
        """Up to `count` entries after each position, oldest first, for the mailboxes that have any: one round trip for
        all. With `wait_milliseconds`, waits that long for the first to come. The fence is asked last."""
        if self._watch is not None:
            return await self._read_everywhere(self._watch, positions, count, wait_milliseconds)
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

    async def _read_everywhere(
        self, watch: Watch, positions: Mapping[int, str], count: int, wait_milliseconds: int | None
    ) -> dict[int, list[Entry]]:
        """The same in a cluster, whose nodes read only one slot with a command, and are asked side by side."""
        if wait_milliseconds is not None:
            await watch.wait(positions, wait_milliseconds)
        pipeline = self._client.pipeline(transaction=False)
        for mailbox, position in positions.items():
            pipeline.xread({stream_key(mailbox): position}, count=count)
        self.fence.ask(pipeline)
        *answers, known_of_log = await as_far_as_possible(pipeline)
        self.fence.hear(known_of_log)
        return {
            mailbox: [Entry(entry_id.decode(), fields) for entry_id, fields in entries]
            for mailbox, found in zip(positions, answers, strict=True)
            if not isinstance(found, NodeUnavailable)
            for _, entries in found
        }

    async def out_of_step(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        """The mailboxes of which Redis has seen more applied than these positions say, or to a log other than the one
        of this identity: Postgres was restored or started afresh, or another worker has moved on meanwhile. And those
        that cannot be asked about."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in positions:
            pipeline.hmget(log_key(mailbox), "identity", "position")
        answers = await as_far_as_possible(pipeline)
        return [
            mailbox
            for (mailbox, position), fields in zip(positions.items(), answers, strict=True)
            if isinstance(fields, NodeUnavailable)
            or ((known := remembered(fields)) is not None and not known.fits(Bookmark(position, identity)))
        ]

    async def trim(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        """Removes the entries up to and including each position: they have been applied to the log of this identity.
        Returns the mailboxes whose stream is out of step with that: nothing was removed from them, and `rejoin` must
        come first.
        """
        pipeline = self._client.pipeline(transaction=False)
        for mailbox, position in positions.items():
            _TRIM.add(
                pipeline, (stream_key(mailbox), log_key(mailbox)), (*map(str, entry_order(position)), str(identity))
            )
        done = await as_far_as_possible(pipeline)
        return [mailbox for mailbox, in_step in zip(positions, done, strict=True) if not in_step]

    async def rejoin(self, mailbox: int, bookmark: Bookmark, applied: int) -> int:
        """Brings a stream back into step with the bookmark and the number of entries ever applied. Returns how many
        entries now wait after the position. The position must be locked meanwhile."""
        milliseconds, sequence = entry_order(bookmark.position)
        waiting: int = await _REJOIN(
            self._client,
            [stream_key(mailbox), log_key(mailbox)],
            [bookmark.position, milliseconds, sequence, applied, str(bookmark.identity)],
        )
        return waiting

    async def lead(self, drainer: str) -> bool:
        """Whether `drainer` leads: all mailboxes are then awake for it. It takes the lead if nobody has it, for as long
        as a mailbox stays awake. While the node of a cluster that knows is away, everybody does: it costs work, and
        harms nobody."""
        try:
            return bool(await _LEAD(self._client, [LEADER_KEY], [drainer, self._awake_milliseconds]))
        except NodeUnavailable:
            return True

    async def stay_awake(self, mailboxes: Iterable[int]) -> None:
        """Marks these mailboxes as being drained; to be repeated before `awake_milliseconds` are over."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in mailboxes:
            always(pipeline, "SET", awake_key(mailbox), b"1", "PX", self._awake_milliseconds)
        await as_far_as_possible(pipeline)

    async def fall_asleep(self, drainer: str, positions: Mapping[int, str]) -> bool:
        """Marks these mailboxes as no longer being drained, and ends the lead of `drainer`. False if something has just
        come in after a position: then stay awake. Tells Redis how far the log has come: whoever leaves because the log
        has gone back may be the only one to know."""
        pipeline = self._client.pipeline(transaction=False)
        self.fence.confirm(pipeline)
        for mailbox in positions:
            pipeline.delete(awake_key(mailbox))
        _RESIGN.add(pipeline, [LEADER_KEY], [drainer])
        await as_far_as_possible(pipeline)
        return not (positions and await self.read_each(positions, 1))

    async def call_asleep(self, mailboxes: Iterable[int]) -> None:
        """Has the sweep wake these mailboxes if they hold anything: the worker that was awake may have left it."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in mailboxes:
            pipeline.delete(awake_key(mailbox))
        await as_far_as_possible(pipeline)

    async def wake(self, mailbox: int) -> bool:
        """Takes the right to wake the mailbox; False if somebody else just has."""
        return bool(await always(self._client, "SET", awake_key(mailbox), b"1", "NX", "PX", self._awake_milliseconds))

    async def forgotten(self, mailboxes: Iterable[int]) -> list[int]:
        """Those of the mailboxes that hold entries and are not awake."""
        asked = sorted(mailboxes)
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in asked:
            pipeline.xlen(stream_key(mailbox))
            pipeline.exists(awake_key(mailbox))
        answers = await as_far_as_possible(pipeline)
        waiting, awake = answers[::2], answers[1::2]
        return [
            mailbox
            for mailbox, entries, somebody in zip(asked, waiting, awake, strict=True)
            if not isinstance(entries, NodeUnavailable) and entries and not somebody
        ]
