"""Draining a mailbox: batch after batch, until it stays empty for a while or the time is up.

A mailbox that has just been emptied is watched a little longer before it falls asleep: in steady traffic it then needs
no activations at all. Only few batches are in the works at a time, and each is read the moment its turn comes, so the
busier the process, the larger its batches.
"""

from __future__ import annotations

import asyncio
import time

from runtime.mailboxes.fence import OutOfStep
from runtime.mailboxes.inbox import Bookmark, Entry, Inbox
from workers.apply import Applier, MailboxTaken, PositionMoved


class Drainer:
    """Drains mailboxes for one worker process."""

    def __init__(
        self,
        applier: Applier,
        inbox: Inbox,
        *,
        batch_max_commands: int,
        batch_concurrency: int,
        drain_max_seconds: float,
        linger_milliseconds: int,
    ) -> None:
        self._applier = applier
        self._inbox = inbox
        self._batch_max_commands = batch_max_commands
        self._turns = asyncio.Semaphore(batch_concurrency)
        self._drain_max_seconds = drain_max_seconds
        self._linger_milliseconds = linger_milliseconds

    async def drain(self, mailbox: int) -> bool:
        """Applies what waits in `mailbox` and what comes meanwhile.

        True when it is empty and asleep, in other hands, or out of step with Redis, which the sweep mends; False when
        the time was up first: wake it again. A lost connection raises; the sweep comes back to the mailbox.
        """
        until = time.monotonic() + self._drain_max_seconds
        try:
            while True:
                bookmark = await self._applier.bookmark(mailbox)
                bookmark = await self._drain_from(mailbox, bookmark, until)
                if time.monotonic() >= until:
                    return False
                if not await self._inbox.trim(mailbox, bookmark) or await self._inbox.fall_asleep(mailbox):
                    return True
        except (MailboxTaken, OutOfStep):
            return True

    async def _drain_from(self, mailbox: int, bookmark: Bookmark, until: float) -> Bookmark:
        """Batch after batch behind the bookmark, until none comes or the time is up; returns the last one. Raises
        OutOfStep if it is Postgres, and not another worker, who knows of less than Redis."""
        following: asyncio.Task[list[Entry]] | None = None
        try:
            while time.monotonic() < until:
                async with self._turns:
                    entries = await (following or self._read(mailbox, bookmark))
                    following = None
                    if entries:
                        if len(entries) == self._batch_max_commands:
                            # There is more: it is read while these are applied, and good while nobody else moves on.
                            ahead = bookmark._replace(position=entries[-1].entry_id)
                            following = asyncio.create_task(self._read(mailbox, ahead))
                        await self._applier.apply(mailbox, bookmark.position, entries)
                if entries:
                    bookmark = bookmark._replace(position=entries[-1].entry_id)
                    await self._inbox.trim(mailbox, bookmark)
                elif not await self._inbox.wait(mailbox, bookmark.position, self._linger_milliseconds):
                    break
        except PositionMoved:
            return await self._applier.bookmark(mailbox)
        except OutOfStep:
            if (today := await self._applier.bookmark(mailbox)) == bookmark:
                raise
            return today
        finally:
            if following is not None:
                following.cancel()
        return bookmark

    async def _read(self, mailbox: int, bookmark: Bookmark) -> list[Entry]:
        return await self._inbox.read_on(mailbox, bookmark, self._batch_max_commands)
