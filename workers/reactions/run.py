"""One run of a reaction: from its position through the log, until it reaches the end or its time is up. The lease is
renewed while it works. A run that cannot renew it in time is cancelled before another may begin, so two runs hardly
ever handle the same event at once. Whatever a run has not recorded is done again. No transaction is open while an event
is being handled.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import asyncpg

from runtime import logs, tracing
from runtime.metrics import REACTION_DEAD_LETTERS, REACTION_FAILURES, REACTION_HANDLED, reaction_kind
from runtime.records import EventRecord
from workers.causes import causes
from workers.failures import DATABASE_TROUBLE
from workers.leases import LeaseKeeper, LeaseLost
from workers.reactions.core import Failure, GiveUp, NotNow, Reaction, TookTooLong, blames_event
from workers.reactions.log_pages import read_page
from workers.reactions.positions import Held, Positions

RUN_MAX_SECONDS: Final = 2.0
"""A run that has more to do after this long makes room for others."""

SAVE_SECONDS: Final = 0.1
"""How long a run may handle events before it saves its position: if its process is killed, those are handled again."""

_log = logging.getLogger(__name__)


class Runner:
    """Runs reactions for one background process."""

    def __init__(self, pool: asyncpg.Pool[Any], *, lease_seconds: float) -> None:
        self._pool = pool
        self._leases = LeaseKeeper(pool, "reactions", "name", lease_seconds=lease_seconds)
        self._positions = Positions(pool, lease_seconds=lease_seconds)

    async def run(self, reaction: Reaction) -> bool:
        """Advances the reaction. True if it should be run again at once; False if it has nothing to do, must wait, or
        is being run elsewhere."""
        asked_at = asyncio.get_running_loop().time()
        held = await self._positions.take(reaction.name)
        if held is None:
            return False
        try:
            async with self._leases.keeping(held.name, held.token, asked_at):
                return await _Run(self._pool, self._positions, reaction, held).go()
        except LeaseLost:
            _log.info("reaction %s has been taken over", reaction.name)
            return False


class _Run:
    """The state of one run while it holds the lease."""

    def __init__(self, pool: asyncpg.Pool[Any], positions: Positions, reaction: Reaction, held: Held) -> None:
        self._pool = pool
        self._positions = positions
        self._reaction = reaction
        self._held = held
        self._done = held.position
        """The seq up to which all events are handled; it may be ahead of the saved position."""
        self._saved_at = time.monotonic()
        # Metrics do not tell webhooks apart; the record of their deliveries does.
        self._kind = reaction_kind(reaction.name)

    async def go(self) -> bool:
        """Handles page after page. A lost connection leaves the lease to expire; otherwise the run gives it back."""
        logs.note(reaction=self._reaction.name)
        try:
            return await self._go()
        except asyncio.CancelledError:
            with suppress(*DATABASE_TROUBLE):
                await self._leave()
            raise

    async def _go(self) -> bool:
        until = time.monotonic() + RUN_MAX_SECONDS
        while time.monotonic() < until:
            page = await read_page(self._pool, self._reaction, self._done)
            if not await self._handle(page.records, until):
                return False
            if page.records and self._done < page.records[-1].seq:
                break  # the time was up in the middle of the page
            self._done = page.upto
            if page.due_at is not None:
                await self._leave(page.due_at)
                return False
            if page.is_last:
                break
            await self._save()  # the next page may be unreadable
        return await self._leave()

    async def _leave(self, due_at: datetime | None = None) -> bool:
        return await self._positions.leave(self._held, self._reaction.interests, due_at, to=self._done)

    async def _save(self) -> None:
        """Saves the position."""
        if self._done > self._held.position:
            self._held = await self._positions.move(self._held, self._done)
        self._saved_at = time.monotonic()

    async def _handle(self, records: Sequence[EventRecord], until: float) -> bool:
        """Handles as many of the events as there is time for, at least one, and saves the position now and then. False
        if one failed: the lease has then been given back."""
        one_by_one = self._held.failures > 0
        begins_at = self._done
        while records and (time.monotonic() < until or self._done == begins_at):
            count = 1 if one_by_one else self._reaction.handle_max_events
            together = records[:count]
            logs.note(**_ids(together))
            try:
                await self._call(together)
            except Exception as error:
                if len(together) > 1:
                    _log.info("reaction %s: %d events failed together (%s)", self._reaction.name, len(together), error)
                    one_by_one = True
                    continue
                await self._save()
                if not await self._handle_failure(together[0], error):
                    return False
            else:
                REACTION_HANDLED.labels(self._kind).inc(len(together))
                self._done = together[-1].seq
                if self._held.failures or time.monotonic() - self._saved_at > SAVE_SECONDS:
                    await self._save()
            records = records[count:]
        return True

    async def _call(self, records: Sequence[EventRecord]) -> None:
        """Calls the reaction within its time limit. Raises whatever it raises, or TookTooLong."""
        allowed = self._reaction.handle_max_seconds
        links = await causes(self._pool, [record.seq for record in records])
        try:
            with tracing.span(f"react {self._kind}", "consumer", links=links, tidegate__seq=records[0].seq):
                async with asyncio.timeout(allowed) as deadline:
                    if len(records) > 1:
                        await self._reaction.handle_many(records)
                    else:
                        await self._reaction.handle(records[0])
        except TimeoutError as error:
            if deadline.expired():
                raise TookTooLong(f"not done within {allowed} s") from error
            raise

    async def _handle_failure(self, record: EventRecord, error: Exception) -> bool:
        """Handles a failure. True if the event was given up: it is a dead letter, and the run continues."""
        said = f"{type(error).__name__}: {error}"
        held = self._held
        blamed = held.blamed + 1 if blames_event(error) else held.blamed
        failure = Failure(error, held.failures + 1, blamed, held.failing_since or datetime.now(UTC))
        REACTION_FAILURES.labels(self._kind).inc()
        retry_seconds = None if isinstance(error, GiveUp) else self._reaction.retry_seconds(failure)
        await self._tell(record, failure)
        if retry_seconds is None:
            _log.warning("reaction %s gave up on event %d: %s", self._reaction.name, record.seq, said)
            self._held = await self._positions.dead_letter(self._held, record.seq, said)
            self._done = record.seq
            REACTION_DEAD_LETTERS.labels(self._kind).inc()
            return True
        unexpected = failure.blames_event and failure.failures == 1 and not isinstance(error, NotNow)
        _log.warning(
            "reaction %s: event %d failed (%s); again in %.1f s",
            self._reaction.name,
            record.seq,
            said,
            retry_seconds,
            exc_info=error if unexpected else None,
        )
        await self._positions.note_failure(held, failure, said, retry_seconds)
        return False

    async def _tell(self, record: EventRecord, failure: Failure) -> None:
        try:
            await self._reaction.failed(record, failure)
        except Exception:
            _log.exception("the failure of reaction %s could not be recorded", self._reaction.name)


def _ids(records: Sequence[EventRecord]) -> dict[str, object]:
    """The ids to add to the run's log lines: those of the event, if it is a single one."""
    if len(records) > 1:
        return dict.fromkeys(("seq", "command_id", "order_id"))
    (record,) = records
    order_id = record.subject if record.type.startswith("order.") else None
    return {"seq": record.seq, "command_id": record.command_id, "order_id": order_id}
