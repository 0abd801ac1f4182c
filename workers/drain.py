"""Draining: a worker process takes from every mailbox that waits, batch after batch, until all stay empty for a while.

What a transaction costs is shared by all commands in it, whichever mailboxes they came from; order holds inside each.
So a process that was woken leads: it watches all mailboxes, and nobody else needs to be woken while it does. Only when
there is more than one batch can hold are others asked to help: they take what is free, as long as there is a full batch
of it. In steady traffic, mailboxes are watched a little longer after they were emptied, and need no activations at all.
A mailbox that has to wait, for a row that a foreign session holds, gets batches of its own.
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

# How often help may be asked for, applied entries removed, and the others told that somebody is at work. Removing is
# done between two batches, and those who wait for the next one wait for it, too.
_HELP_SECONDS: Final = 0.05
_TRIM_SECONDS: Final = 0.1
_SIGN_OF_LIFE: Final = 0.25  # of the time for which it is believed
_ELSEWHERE_SECONDS: Final = 0.01
_APART_RETRY_SECONDS: Final = 0.2

APART_MAX_BATCHES: Final = 2
"""How many batches of mailboxes that were cut short are in the works at a time, beside those of the others."""

# So many commands of a mailbox are read beside those of others; one that holds more is read alone, every other time.
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
        """Batches in the works."""
        self._called: set[int] = set()
        self._cut_short: dict[int, None] = {}
        """Mailboxes whose last transaction was cut short, perhaps because a foreign session holds a row that they need:
        until one succeeds, each has batches of its own, so that the others do not wait with it. The one that was tried
        longest ago comes first."""

    def call(self, mailboxes: Iterable[int]) -> None:
        """Has the shift look after these mailboxes as well."""
        self._called.update(mailboxes)

    @property
    def is_called(self) -> bool:
        """Whether a mailbox was called for that no shift has looked after yet."""
        return bool(self._called)

    def stop(self) -> None:
        """Has the shift end after the batches that are in the works."""
        self.is_stopping = True

    async def drain(self, mailboxes: Iterable[int]) -> None:
        """Applies what waits in these mailboxes and what comes meanwhile, until all are empty and asleep, or in other
        hands, or out of step with Redis, which the sweep mends. A lost connection raises; the sweep comes back.
        """
        self.call(mailboxes)
        while self.is_called and not self.is_stopping:  # also for what was called for while a shift was ending
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
        """In the works here."""
        self._applied: dict[int, str] = {}
        """Positions up to which entries have yet to be removed."""
        self._batches: set[asyncio.Task[bool]] = set()
        self._apart: set[asyncio.Task[bool]] = set()
        """Batches of mailboxes that were cut short: nobody waits for them."""
        self._deep: dict[int, None] = {}
        """Mailboxes that held more than was read, the one that was read longest ago first."""
        self._deep_turn = False
        self._left_out: set[int] = set()
        """Out of step with Redis when they were looked at last."""
        self._alive_at = self._trimmed_at = self._helped_at = -1e9
        self._looked_again_at = time.monotonic()
        self._leads = False

    async def run(self) -> None:
        """Raises whatever a batch raised, once the others have ended."""
        try:
            while not self._of.is_stopping:
                await self._look_after_called()
                await self._show_life()
                begun = await self._begin_batch()
                if self._apart:
                    await self._look_at_apart(wait=not self._batches)
                if not self._batches:
                    if not self._apart and await self._end():
                        return
                elif begun and self._deep and len(self._batches) < self._of._batch_concurrency:
                    continue  # there is enough for another beside it
                elif not await self._see_one_end() and not self._leads:
                    break  # what is left, the one who leads will take
            while self._batches:
                await self._see_one_end()
            if self._apart:
                await asyncio.wait(self._apart)
            if not await self._end():
                await self._of._ask_for_help()  # somebody else goes on
        finally:
            unfinished = self._batches | self._apart
            for batch in unfinished:
                batch.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def leave(self) -> None:
        """Lets somebody else lead; the sweep wakes what is left lying."""
        await self._of._inbox.fall_asleep(self._drainer, self._positions)

    async def _look_after_called(self) -> None:
        """Finds out where the mailboxes are that were called for, or whose position was not what it had been."""
        called = (self._of._called | self._due_again()) - self._positions.keys()
        self._of._called.clear()
        if called:
            positions, identity = await self._of._applier.positions(called)
            if identity != self._identity:
                # The log goes on as another: what was found out about the others may not be so any more.
                self._of.call(self._positions)
                self._positions.clear()
                self._applied.clear()
                self._identity = identity
            for mailbox in await self._of._inbox.out_of_step(positions, identity):
                del positions[mailbox]
                self._left_out.add(mailbox)
            self._positions.update(positions)
            if positions:
                self._alive_at = -1e9

    def _due_again(self) -> set[int]:
        """What was left out, now and then. The sweep mends it, and may wake another process for it that does not stay;
        who leads stays at work."""
        now = time.monotonic()
        if now - self._looked_again_at < self._of._awake_seconds * _SIGN_OF_LIFE:
            return set()
        self._looked_again_at = now
        due, self._left_out = self._left_out, set()
        return due

    async def _begin_batch(self) -> bool:
        """Begins a batch of what waits; if nothing waits and nothing is in the works, waits a little for something.
        Whether a batch was begun."""
        most = self._of._batch_max_commands
        found, behind = await self._look(most)
        for mailbox in [mailbox for mailbox in self._of._cut_short if mailbox in found]:
            own = self._of._inbox.fitting(_in_order({mailbox: found.pop(mailbox)})[:most])
            if len(self._apart) < APART_MAX_BATCHES:
                self._begin(Run({mailbox: behind[mailbox]}, own), self._apart)
        entries = self._of._inbox.fitting(_in_order(found)[:most])
        if not entries or (self._batches and len(entries) < most):
            return False  # what comes while a batch is in the works makes the next one larger
        self._begin(Run({mailbox: behind[mailbox] for mailbox, _ in entries}, entries), self._batches)
        if self._deep:
            await self._call_for_help()
        return True

    def _begin(self, run: Run, batches: set[asyncio.Task[bool]]) -> None:
        self._taken.update(run.positions)
        batches.add(asyncio.create_task(self._apply(run)))

    async def _look_at_apart(self, *, wait: bool) -> None:
        """Forgets the batches apart that have ended, and raises what they raised; waits a moment for one if asked."""
        ended, self._apart = await asyncio.wait(self._apart, timeout=_ELSEWHERE_SECONDS if wait else 0)
        for batch in ended:
            batch.result()

    async def _look(self, most: int) -> tuple[dict[int, list[Entry]], dict[int, str]]:
        """What waits, and behind which positions: of one mailbox that holds much, every other time, or else a little
        of each, so that a batch of many commands leaves mailboxes for other batches, and one of few takes all."""
        free = {mailbox: p for mailbox, p in self._positions.items() if mailbox not in self._taken}
        if not free:
            return {}, {}
        deep = [mailbox for mailbox in self._deep if mailbox in free]
        shallow = {mailbox: position for mailbox, position in free.items() if mailbox not in self._deep}
        self._deep_turn = bool(deep) and not (self._deep_turn and shallow)
        if self._deep_turn:
            behind, count = {deep[0]: free[deep[0]]}, most
        else:
            behind, count = shallow, min(most, max(_SHALLOW_COMMANDS, most // len(shallow)))
        count = self._of._inbox.asks(count)
        linger = None if self._batches or deep or not self._leads else self._of._linger_milliseconds
        found = await self._of._inbox.read_each(behind, count, wait_milliseconds=linger)
        for mailbox in behind:
            self._deep.pop(mailbox, None)
            if len(found.get(mailbox, ())) == count:
                self._deep[mailbox] = None
        return found, behind

    async def _apply(self, run: Run) -> bool:
        """Applies a batch; whether it was a full one, and all of it could be had."""
        cut_short = self._of._cut_short
        self._of.in_progress += 1
        try:
            done, waiting = await self._of._applier.apply(run)
            for mailbox in done:
                cut_short.pop(mailbox, None)
            cut_short.update(dict.fromkeys(waiting))
            if not done:
                await asyncio.sleep(_ELSEWHERE_SECONDS)  # somebody else is at work on all of them
        except CutShort as error:
            if len(run.positions) > 1:
                raise
            (mailbox,) = run.positions
            was_apart = mailbox in cut_short
            cut_short.pop(mailbox, None)
            cut_short[mailbox] = None  # as the last one
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
                self._positions.pop(mailbox, None)  # Postgres was put back: ask both sides anew
                self._of.call([mailbox])
            else:
                self._positions[mailbox] = self._applied[mailbox] = position
        return len(run.entries) >= self._of._batch_max_commands and bool(done)

    async def _see_one_end(self) -> bool:
        """Waits for a batch; whether it was a full one."""
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

    async def _show_life(self) -> None:
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
        """Falls asleep, if nothing came in meanwhile. A helper just leaves."""
        if self._leads:
            self._applied = dict(self._positions)  # perhaps somebody applied and did not come to removing
        await self._trim()
        if not self._leads:
            return True
        if await self._of._inbox.fall_asleep(self._drainer, self._positions):
            return True
        self._alive_at = -1e9
        return False


def _in_order(found: Mapping[int, list[Entry]]) -> list[tuple[int, Entry]]:
    """The entries of all mailboxes, each with its mailbox, in the order in which they came in."""
    if len(found) == 1:
        ((mailbox, entries),) = found.items()
        return [(mailbox, entry) for entry in entries]
    keyed = [[(entry_order(entry.entry_id), mailbox, entry) for entry in e] for mailbox, e in found.items()]
    return [(mailbox, entry) for _, mailbox, entry in merge(*keyed)]
