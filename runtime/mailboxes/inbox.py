"""The worker's side of the mailboxes: read behind a position, trim what is applied, and keep them awake.

Nothing here decides what is applied: that is the position row in Postgres. Redis may forget or repeat any of this.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from redis.asyncio import Redis

from runtime.mailboxes.keys import awake_key, stream_key


class Entry(NamedTuple):
    """One waiting command; `entry_id` orders it (milliseconds-sequence)."""

    entry_id: str
    fields: dict[bytes, bytes]


def entry_order(entry_id: str) -> tuple[int, int]:
    """What entry ids sort by: as text, 10-0 would stand before 9-0."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


class Inbox:
    """The mailboxes as a worker sees them."""

    def __init__(self, client: Redis, *, awake_milliseconds: int) -> None:
        self._client = client
        self._awake_milliseconds = awake_milliseconds

    async def read(self, mailbox: int, position: str, count: int) -> list[Entry]:
        """Up to `count` entries behind `position`, oldest first."""
        found: Any = await self._client.xrange(stream_key(mailbox), min=f"({position}", count=count)
        return [Entry(entry_id.decode(), fields) for entry_id, fields in found]

    async def wait(self, mailbox: int, position: str, milliseconds: int) -> bool:
        """Waits until there is an entry behind `position`, at most so long; whether there is."""
        found = await self._client.xread({stream_key(mailbox): position}, count=1, block=milliseconds)
        return bool(found)

    async def trim(self, mailbox: int, position: str) -> None:
        """Removes the entries up to and with `position`: they are applied. Tells that somebody is at work."""
        milliseconds, sequence = entry_order(position)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xtrim(stream_key(mailbox), minid=f"{milliseconds}-{sequence + 1}", approximate=False)
        pipeline.set(awake_key(mailbox), b"1", xx=True, px=self._awake_milliseconds)
        await pipeline.execute()

    async def fall_asleep(self, mailbox: int) -> bool:
        """Says that nobody drains the mailbox any more. False if something came in just now: then stay awake."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.delete(awake_key(mailbox))
        pipeline.xlen(stream_key(mailbox))
        _, waiting = await pipeline.execute()
        return not waiting

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
