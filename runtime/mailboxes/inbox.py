"""The worker's side of the mailboxes: read behind a position, trim what is applied, and keep them awake.

Nothing here decides what is applied: that is the position row in Postgres. Redis may forget or repeat any of this.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from runtime.mailboxes.fence import Fence, OutOfStep
from runtime.mailboxes.keys import awake_key, log_key, stream_key

_SCRIPTS: Final = Path(__file__).parent


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
        self._trim = client.register_script((_SCRIPTS / "trim.lua").read_text())
        self._rejoin = client.register_script((_SCRIPTS / "rejoin.lua").read_text())

    async def read(self, mailbox: int, position: str, count: int) -> list[Entry]:
        """Up to `count` entries behind `position`, oldest first; of them no more than fit, but one however large it is.

        It asks for twice as many as fit lately: Redis knows no bound in bytes, and what does not fit was read in vain.
        """
        asked = self._asks(count)
        found = await self._client.xrange(stream_key(mailbox), min=f"({position}", count=asked)
        return self._fitting(found, asked)

    def _asks(self, count: int) -> int:
        return min(count, 2 * self._fit_lately)

    def _fitting(self, found: Any, asked: int) -> list[Entry]:
        """As many of what was found as fit, by their bytes."""
        entries: list[Entry] = []
        size = 0
        for entry_id, fields in found:
            size += sum(map(len, fields.values()))
            if entries and size > self._read_max_bytes:
                break
            entries.append(Entry(entry_id.decode(), fields))
        if len(entries) < len(found):
            self._fit_lately = max(len(entries), _LEAST_ASKED_FOR)
        elif len(found) == asked:
            self._fit_lately = max(asked, self._fit_lately)
        return entries

    async def read_on(self, mailbox: int, bookmark: Bookmark, count: int) -> list[Entry]:
        """The same for whoever applies them. Raises OutOfStep if Redis knows of more than the bookmark says: somebody
        else has moved on meanwhile, or Postgres was put back or begun anew."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.hmget(log_key(mailbox), "identity", "position")
        self.fence.ask(pipeline)
        asked = self._asks(count)
        pipeline.xrange(stream_key(mailbox), min=f"({bookmark.position}", count=asked)
        fields, known_of_log, found = await pipeline.execute()
        self.fence.hear(known_of_log)
        known = remembered(fields)
        if known is not None and not known.fits(bookmark):
            raise OutOfStep(f"mailbox {mailbox} is at {bookmark}, Redis knows of {known}")
        return self._fitting(found, asked)

    async def wait(self, mailbox: int, position: str, milliseconds: int) -> bool:
        """Waits until there is an entry behind `position`, at most so long; whether there is."""
        found = await self._client.xread({stream_key(mailbox): position}, count=1, block=milliseconds)
        return bool(found)

    async def trim(self, mailbox: int, bookmark: Bookmark) -> bool:
        """Removes the entries up to and with the position: they are applied. Tells that somebody is at work.

        False if the stream is out of step with the bookmark: then nothing was removed, and `rejoin` must come first.
        """
        keys = [stream_key(mailbox), awake_key(mailbox), log_key(mailbox)]
        milliseconds, sequence = entry_order(bookmark.position)
        args: list[int | str] = [milliseconds, sequence, self._awake_milliseconds, str(bookmark.identity)]
        pipeline = self._client.pipeline(transaction=False)
        self.fence.confirm(pipeline)
        pipeline.evalsha(self._trim.sha, len(keys), *keys, *args)
        *_, trimmed = await pipeline.execute(raise_on_error=False)
        if isinstance(trimmed, NoScriptError):  # a Redis that was restarted has forgotten it
            trimmed = await self._trim(keys=keys, args=args)
        if isinstance(trimmed, Exception):
            raise trimmed
        return bool(trimmed)

    async def rejoin(self, mailbox: int, bookmark: Bookmark, applied: int) -> int:
        """Brings a stream back into step with the bookmark and the number of entries ever applied. Returns how many
        entries wait behind the position now. The position must be locked meanwhile."""
        milliseconds, sequence = entry_order(bookmark.position)
        waiting: int = await self._rejoin(
            keys=[stream_key(mailbox), log_key(mailbox)],
            args=[bookmark.position, milliseconds, sequence, applied, str(bookmark.identity)],
        )
        return waiting

    async def fall_asleep(self, mailbox: int) -> bool:
        """Says that nobody drains the mailbox any more. False if something came in just now: then stay awake."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.delete(awake_key(mailbox))
        pipeline.xlen(stream_key(mailbox))
        _, waiting = await pipeline.execute()
        return not waiting

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
