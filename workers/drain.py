"""Draining: a worker process takes from every mailbox that has commands, batch after batch, until all stay empty for a
while.

All commands in a transaction share its cost, whichever mailboxes they came from; within a mailbox, order is preserved.
So the process that is woken leads: it watches all mailboxes, and no other process needs to be woken meanwhile. Only
when more is waiting than one batch can hold does it ask others to help: they take from the mailboxes that are free, for
as long as those fill a batch. The leader watches the mailboxes for a while after they are empty, so steady traffic
needs no activations at all. A mailbox that is blocked by a row which a foreign session holds gets batches of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from heapq import merge
from typing import Final
from uuid import UUID, uuid4

from runtime.mailboxes.fence import OutOfStep
from runtime.mailboxes.inbox import Entry, Inbox, entry_order
from workers.apply import Applier, CutShort
from workers.runs import Run

_log = logging.getLogger(__name__)

# How often to ask for help, to trim applied entries, and to show the other processes that this one is alive. Trimming
# happens between two batches, so whatever waits for the next batch waits for it, too.
_HELP_SECONDS: Final = 0.05
_TRIM_SECONDS: Final = 0.1
_SIGN_OF_LIFE: Final = 0.25  # as a share of the time for which a sign of life counts
_ELSEWHERE_SECONDS: Final = 0.01
_APART_RETRY_SECONDS: Final = 0.2

APART_MAX_BATCHES: Final = 2
"""How many batches of cut-short mailboxes may be in progress at a time, besides the ordinary ones."""

# Read at least this many commands of each mailbox at a time. A mailbox that holds more takes turns with the others: it
# is read alone every other time.
_SHALLOW_COMMANDS: Final = 64


class Drainer:
    """Drains mailboxes for one worker process, one shift at a time."""

    def __init__(
        self,
        applier: Applier,
        inbox: Inbox,
        *,
        batch_max_commands: int,
        batch_concurrency: int,
        linger_milliseconds: int,
        awake_milliseconds: int,
        ask_for_help: Callable[[], Awaitable[None]],
    ) -> None:
        self._applier = applier
        self._inbox = inbox
        self._batch_max_commands = batch_max_commands
        self._batch_concurrency = batch_concurrency
        self._linger_milliseconds = linger_milliseconds
        self._awake_seconds = awake_milliseconds / 1000
        self._ask_for_help = ask_for_help
        self.is_stopping = False
        self.in_progress = 0
        """The number of batches in progress."""
        self._called: set[int] = set()
        self._cut_short: dict[int, None] = {}
        """Mailboxes whose last transaction was cut short, perhaps because a foreign session holds a row that they need,
        the least recently tried first. Until one of its batches succeeds, each has batches of its own, so that it does
        not hold up the others."""

    def call(self, mailboxes: Iterable[int]) -> None:
        """Adds these mailboxes to those that the shift drains."""
        self._called.update(mailboxes)

    @property
    def is_called(self) -> bool:
        """Whether a mailbox has been called that no shift has taken up yet."""
        return bool(self._called)

    def stop(self) -> None:
        """Ends the shift after the batches in progress."""
        self.is_stopping = True

    async def drain(self, mailboxes: Iterable[int]) -> None:
        """Applies what these mailboxes hold and what arrives meanwhile, until each is empty and asleep, held by another
        process, or out of step with Redis, which the sweep repairs. Raises if a connection is lost; the sweep will
        start the drain again.
        """
        self.call(mailboxes)
        while self.is_called and not self.is_stopping:  # again, if a mailbox was called while the shift was ending
            shift = _Shift(self)
            try:
                await shift.run()
            except OutOfStep:
                await shift.leave()


class _Shift:
    """One process at work on some mailboxes, from being woken to falling asleep."""

    def __init__(self, drainer: Drainer) -> None:
        self._of = drainer
        self._drainer = uuid4().hex
        self._identity: UUID | None = None
        self._positions: dict[int, str] = {}
        self._taken: set[int] = set()
        """Mailboxes with a batch in progress here."""
        self._applied: dict[int, str] = {}
        """Positions up to which entries have yet to be trimmed."""
        self._batches: set[asyncio.Task[bool]] = set()
        self._apart: set[asyncio.Task[bool]] = set()
        """Batches of cut-short mailboxes; the other batches do not wait for them."""
        self._deep: dict[int, None] = {}
        """Mailboxes that held at least as much as was read, the least recently read first."""
        self._deep_turn = False
        self._left_out: set[int] = set()
        """Mailboxes that were out of step with Redis when last checked."""
        self._alive_at = self._trimmed_at = self._helped_at = -1e9
        self._looked_again_at = time.monotonic()
        self._leads = False

    async def run(self) -> None:
        """Works until the mailboxes are asleep. Raises whatever a batch raises, once the other batches have ended."""
        try:
            while not self._of.is_stopping:
                await self._take_up_called()
                await self._show_sign_of_life()
                begun = await self._begin_batch()
                if self._apart:
                    await self._collect_apart(wait=not self._batches)
                if not self._batches:
                    if not self._apart and await self._end():
                        return
                elif begun and self._deep and len(self._batches) < self._of._batch_concurrency:
                    continue  # enough is waiting for a concurrent batch
                elif not await self._wait_for_batch() and not self._leads:
                    break  # the leader takes the rest
            while self._batches:
                await self._wait_for_batch()
            if self._apart:
                await asyncio.wait(self._apart)
            if not await self._end():
                await self._of._ask_for_help()  # another process continues
        finally:
            unfinished = self._batches | self._apart
            for batch in unfinished:
                batch.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def leave(self) -> None:
        """Gives up the lead; the sweep wakes the mailboxes that still hold commands."""
        await self._of._inbox.fall_asleep(self._drainer, self._positions)

    async def _take_up_called(self) -> None:
        """Looks up the positions of mailboxes that were called, or whose known position is no longer valid."""
        called = (self._of._called | self._to_check_again()) - self._positions.keys()
        self._of._called.clear()
        if called:
            positions, identity = await self._of._applier.positions(called)
            if identity != self._identity:
                # A different branch of the log: the positions known so far may no longer be valid.
                self._of.call(self._positions)
                self._positions.clear()
                self._applied.clear()
                self._identity = identity
            for mailbox in await self._of._inbox.take_up(positions, identity):
                del positions[mailbox]
                self._left_out.add(mailbox)
            self._positions.update(positions)
            if positions:
                self._alive_at = -1e9

    def _to_check_again(self) -> set[int]:
        """The mailboxes left out because they were out of step, every now and then. The sweep repairs them, but may
        wake a process that does not lead, and so does not stay: the leader has to check again."""
        now = time.monotonic()
        if now - self._looked_again_at < self._of._awake_seconds * _SIGN_OF_LIFE:
            return set()
        self._looked_again_at = now
        due, self._left_out = self._left_out, set()
        return due

    async def _begin_batch(self) -> bool:
        """Begins a batch if there are entries for one; returns whether it did. If nothing is waiting and no batch is in
        progress, lingers a little for the first entry."""
        most = self._of._batch_max_commands
        found, after = await self._look(most)
        for mailbox in [mailbox for mailbox in self._of._cut_short if mailbox in found]:
            own = self._of._inbox.fitting(_in_order({mailbox: found.pop(mailbox)})[:most])
            if len(self._apart) < APART_MAX_BATCHES:
                self._begin(Run({mailbox: after[mailbox]}, own), self._apart)
        entries = self._of._inbox.fitting(_in_order(found)[:most])
        if not entries or (self._batches and len(entries) < most):
            return False  # while a batch is in progress, let the next one grow
        self._begin(Run({mailbox: after[mailbox] for mailbox, _ in entries}, entries), self._batches)
        if self._deep:
            await self._call_for_help()
        return True

    def _begin(self, run: Run, batches: set[asyncio.Task[bool]]) -> None:
        self._taken.update(run.positions)
        batches.add(asyncio.create_task(self._apply(run)))

    async def _collect_apart(self, *, wait: bool) -> None:
        """Collects the finished batches of cut-short mailboxes, and raises what they raised. With `wait`, waits a
        moment for one."""
        ended, self._apart = await asyncio.wait(self._apart, timeout=_ELSEWHERE_SECONDS if wait else 0)
        for batch in ended:
            batch.result()

    async def _look(self, most: int) -> tuple[dict[int, list[Entry]], dict[int, str]]:
        """The waiting entries, and the positions after which they were read. Every other time they come from a deep
        mailbox first, otherwise a few from each of the others; only if those do not fill a batch, from more of them. So
        a large batch takes few mailboxes and leaves the rest to concurrent batches, and a small one takes everything.
        """
        free = {mailbox: p for mailbox, p in self._positions.items() if mailbox not in self._taken}
        shallow = {mailbox: position for mailbox, position in free.items() if mailbox not in self._deep}
        reads = [{mailbox: free[mailbox]} for mailbox in self._deep if mailbox in free]
        self._deep_turn = bool(reads) and not (self._deep_turn and shallow)
        linger = None if self._batches or reads or not self._leads else self._of._linger_milliseconds
        if shallow:
            reads.insert(len(reads) if self._deep_turn else 0, shallow)
        found: dict[int, list[Entry]] = {}
        after: dict[int, str] = {}
        missing = most
        for positions in reads:
            wanted = min(most, max(_SHALLOW_COMMANDS, most // len(shallow))) if positions is shallow else missing
            count = self._of._inbox.asks(wanted)
            entries = await self._of._inbox.read_each(positions, count, wait_milliseconds=linger)
            for mailbox in positions:
                self._deep.pop(mailbox, None)
                if len(entries.get(mailbox, ())) == count:
                    self._deep[mailbox] = None
            found |= entries
            after |= positions
            missing -= sum(map(len, entries.values()))
            if missing <= 0 or count < wanted:  # enough, by their number or by their size
                break
        return found, after

    async def _apply(self, run: Run) -> bool:
        """Applies a batch; returns whether it was full and at least one mailbox could be locked."""
        cut_short = self._of._cut_short
        self._of.in_progress += 1
        try:
            done, waiting = await self._of._applier.apply(run)
            for mailbox in done:
                cut_short.pop(mailbox, None)
            cut_short.update(dict.fromkeys(waiting))
            if not done:
                await asyncio.sleep(_ELSEWHERE_SECONDS)  # other workers hold all of them
        except CutShort as error:
            if len(run.positions) > 1:
                raise
            (mailbox,) = run.positions
            was_apart = mailbox in cut_short
            cut_short.pop(mailbox, None)
            cut_short[mailbox] = None  # at the end: tried most recently
            if not was_apart:
                raise
            done = {}
            _log.warning("mailbox %d waits (%s); it will be tried again", mailbox, error)
            await asyncio.sleep(_APART_RETRY_SECONDS)
        finally:
            self._of.in_progress -= 1
            self._taken.difference_update(run.positions)
        for mailbox, position in done.items():
            if entry_order(position) < entry_order(run.positions[mailbox]):
                self._positions.pop(mailbox, None)  # Postgres was restored to an earlier state: ask both sides again
                self._of.call([mailbox])
            else:
                self._positions[mailbox] = self._applied[mailbox] = position
        return len(run.entries) >= self._of._batch_max_commands and bool(done)

    async def _wait_for_batch(self) -> bool:
        """Waits until a batch ends; returns whether it was full."""
        ended, self._batches = await asyncio.wait(self._batches, return_when=asyncio.FIRST_COMPLETED)
        full = False not in [batch.result() for batch in ended]
        if time.monotonic() - self._trimmed_at > _TRIM_SECONDS:
            await self._trim()
        return full

    async def _trim(self) -> None:
        self._trimmed_at = time.monotonic()
        applied, self._applied = self._applied, {}
        if applied and self._identity is not None:
            for mailbox in await self._of._inbox.trim(applied, self._identity):
                self._positions.pop(mailbox, None)
                self._left_out.add(mailbox)

    async def _show_sign_of_life(self) -> None:
        now = time.monotonic()
        if now - self._alive_at < self._of._awake_seconds * _SIGN_OF_LIFE:
            return
        self._alive_at = now
        self._leads = await self._of._inbox.lead(self._drainer)
        if self._leads:
            await self._of._inbox.stay_awake(self._positions)

    async def _call_for_help(self) -> None:
        now = time.monotonic()
        if now - self._helped_at > _HELP_SECONDS:
            self._helped_at = now
            await self._of._ask_for_help()

    async def _end(self) -> bool:
        """Falls asleep; returns False if something has arrived meanwhile. A helper just leaves."""
        if self._leads:
            self._applied = dict(self._positions)  # another process may have applied entries without trimming them
        await self._trim()
        if not self._leads:
            return True
        if await self._of._inbox.fall_asleep(self._drainer, self._positions):
            return True
        self._alive_at = -1e9
        return False


def _in_order(found: Mapping[int, list[Entry]]) -> list[tuple[int, Entry]]:
    """The entries of all mailboxes, each with its mailbox, in order of arrival."""
    if len(found) == 1:
        ((mailbox, entries),) = found.items()
        return [(mailbox, entry) for entry in entries]
    keyed = [[(entry_order(entry.entry_id), mailbox, entry) for entry in e] for mailbox, e in found.items()]
    return [(mailbox, entry) for _, mailbox, entry in merge(*keyed)]
