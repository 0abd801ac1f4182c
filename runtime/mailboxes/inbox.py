"""The worker's side of the mailboxes: reads entries after a position, trims applied ones, and keeps mailboxes awake.
The position row in Postgres decides what has been applied, so Redis may forget or repeat any of this.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from runtime.mailboxes.fence import Fence
from runtime.mailboxes.redis_keys import LEADER_KEY, LOG_KEY, awake_key, log_key, stream_key
from runtime.mailboxes.watch import Watch
from runtime.redis_client import always, as_far_as_possible
from runtime.redis_cluster import Cluster, NodeUnavailable
from runtime.redis_pipeline import Client, Script

_FOLDER: Final = Path(__file__).parent
_TRIM: Final = Script((_FOLDER / "trim.lua").read_text())
_REJOIN: Final = Script((_FOLDER / "rejoin.lua").read_text())
_LEAD: Final = Script((_FOLDER / "lead.lua").read_text())
_INTRODUCE: Final = Script((_FOLDER / "introduce.lua").read_text())
_RESIGN: Final = Script((_FOLDER / "resign.lua").read_text())


# In entries; even the largest ones then come to only a few megabytes.
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
        """Whether Postgres knows of all of this, too."""
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
    """The mailboxes as a worker sees them. In a cluster, those on an unavailable node seem empty or out of step until
    it or a replica is back."""

    def __init__(self, client: Client, *, awake_milliseconds: int, read_max_bytes: int) -> None:
        self._client = client
        self._watch = Watch(client) if isinstance(client, Cluster) else None
        self.fence = Fence(client)
        self._read_max_bytes = read_max_bytes
        self._fit_lately = sys.maxsize
        self._awake_milliseconds = awake_milliseconds

    async def read(self, mailbox: int, position: str, count: int) -> list[Entry]:
        """Up to `count` entries after `position`, oldest first: as many as fit, but at least one, however large. Only
        for inspection: entries to apply are read by `read_each`, which asks the fence."""
        found: Any = await self._client.xrange(stream_key(mailbox), min=f"({position}", count=self.asks(count))
        entries = [(mailbox, Entry(entry_id.decode(), fields)) for entry_id, fields in found]
        return [entry for _, entry in self.fitting(entries)]

    def asks(self, count: int) -> int:
        """How many of a mailbox's entries to request when `count` are wanted."""
        return min(count, 2 * self._fit_lately)

    def fitting(self, entries: Sequence[tuple[int, Entry]]) -> Sequence[tuple[int, Entry]]:
        """As many of the first entries as fit into one batch by their size, but at least one, however large. Redis
        cannot limit a read by bytes, and entries that do not fit have been read in vain, so at most twice as many are
        requested next time as fitted this time.
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
        """Up to `count` entries after each position, oldest first, for the mailboxes that have any, in one round trip.
        With `wait_milliseconds`, waits up to that long for the first entry. The fence is asked last."""
        if self._watch is not None:
            return await self._read_everywhere(self._watch, positions, count, wait_milliseconds)
        mailboxes = {stream_key(mailbox): mailbox for mailbox in positions}
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xread(dict(zip(mailboxes, positions.values(), strict=True)), count=count, block=wait_milliseconds)
        asked_at = self.fence.ask(pipeline)
        found, known_of_log = await pipeline.execute()
        self.fence.hear(known_of_log, asked_at)
        return {
            mailboxes[stream.decode()]: [Entry(entry_id.decode(), fields) for entry_id, fields in entries]
            for stream, entries in found
        }

    async def _read_everywhere(
        self, watch: Watch, positions: Mapping[int, str], count: int, wait_milliseconds: int | None
    ) -> dict[int, list[Entry]]:
        """`read_each` for a cluster, where a command can read only one slot; all nodes are asked concurrently."""
        if wait_milliseconds is not None:
            await watch.wait(positions, wait_milliseconds)
        pipeline = self._client.pipeline(transaction=False)
        for mailbox, position in positions.items():
            pipeline.xread({stream_key(mailbox): position}, count=count)
        asked_at = self.fence.ask(pipeline)
        *answers, known_of_log = await as_far_as_possible(pipeline)
        self.fence.hear(known_of_log, asked_at)
        return {
            mailbox: [Entry(entry_id.decode(), fields) for entry_id, fields in entries]
            for mailbox, found in zip(positions, answers, strict=True)
            if not isinstance(found, NodeUnavailable)
            for _, entries in found
        }

    async def take_up(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        """Comes before mailboxes are drained; returns those that are out of step, which must not be. Redis knows more
        of them to be applied than these positions say, or to a log of another identity: Postgres was restored or wiped,
        or another worker has moved on meanwhile. Or they are on an unavailable node.

        A Redis that knows of no log is told of this one: the first sweep may come late, and what was applied before
        Redis knew the log could be undone unnoticed."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in positions:
            pipeline.hmget(log_key(mailbox), "identity", "position")
        _INTRODUCE.add(pipeline, (LOG_KEY,), (str(identity),))
        *answers, _ = await as_far_as_possible(pipeline)
        return [
            mailbox
            for (mailbox, position), fields in zip(positions.items(), answers, strict=True)
            if isinstance(fields, NodeUnavailable)
            or ((known := remembered(fields)) is not None and not known.fits(Bookmark(position, identity)))
        ]

    async def trim(self, positions: Mapping[int, str], identity: UUID) -> list[int]:
        """Removes the entries up to and including each position, which have been applied to the log of this identity.
        Returns the mailboxes whose stream is out of step with that; nothing is removed from them until `rejoin` has
        repaired them.
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
        entries wait after the position. The caller must hold the position's lock."""
        milliseconds, sequence = entry_order(bookmark.position)
        waiting: int = await _REJOIN(
            self._client,
            [stream_key(mailbox), log_key(mailbox)],
            [bookmark.position, milliseconds, sequence, applied, str(bookmark.identity)],
        )
        return waiting

    async def lead(self, drainer: str) -> bool:
        """Whether `drainer` leads, which keeps all mailboxes awake for it. It takes the lead, a lease that lasts as
        long as a mailbox stays awake, if nobody has it. While the cluster node that keeps the lease is unavailable,
        every process leads: that costs work, but is safe."""
        try:
            return bool(await _LEAD(self._client, [LEADER_KEY], [drainer, self._awake_milliseconds]))
        except NodeUnavailable:
            return True

    async def stay_awake(self, mailboxes: Iterable[int]) -> None:
        """Marks these mailboxes as being drained; to be repeated within `awake_milliseconds`."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in mailboxes:
            always(pipeline, "SET", awake_key(mailbox), b"1", "PX", self._awake_milliseconds)
        await as_far_as_possible(pipeline)

    async def fall_asleep(self, drainer: str, positions: Mapping[int, str]) -> bool:
        """Marks these mailboxes as no longer being drained, and gives up the lead of `drainer`. False if something has
        just arrived after a position: then stay awake. Also tells Redis the log's last seq: a process that leaves
        because the log was put back may be the only one that knows it."""
        pipeline = self._client.pipeline(transaction=False)
        self.fence.confirm(pipeline)
        for mailbox in positions:
            pipeline.delete(awake_key(mailbox))
        _RESIGN.add(pipeline, [LEADER_KEY], [drainer])
        await as_far_as_possible(pipeline)
        return not (positions and await self.read_each(positions, 1))

    async def call_asleep(self, mailboxes: Iterable[int]) -> None:
        """Marks these mailboxes as asleep, so that the sweep wakes them if they hold anything: the worker that was
        awake may have skipped them."""
        pipeline = self._client.pipeline(transaction=False)
        for mailbox in mailboxes:
            pipeline.delete(awake_key(mailbox))
        await as_far_as_possible(pipeline)

    async def wake(self, mailbox: int) -> bool:
        """Claims the right to wake the mailbox; False if another process has just claimed it."""
        return bool(await always(self._client, "SET", awake_key(mailbox), b"1", "NX", "PX", self._awake_milliseconds))

    async def forgotten(self, mailboxes: Iterable[int]) -> list[int]:
        """The mailboxes among these that hold entries but are not awake."""
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
