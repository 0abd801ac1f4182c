"""A small Tidegate in one process, on a real Postgres and Redis, to which a seed makes everything happen at once.

Each step posts commands, drains, or breaks something. Then everything that was lost stays lost, the sweep brings the
rest to its end, `verify` must be clean, and the auditor must come to the same shop. The seed fixes what is asked for
and what breaks; in which order the machine then runs its tasks is its own, so a seed may need more than one try.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

import asyncpg

from domain.model import Actor, Command
from ops.verify import verify
from runtime import envelope as envelopes
from runtime.database import LOST_CONNECTION, asyncpg_dsn
from runtime.mailboxes.post import Claim, Known, MailboxesUnavailable, MailboxFull
from runtime.mailboxes.rejoin import rejoin
from runtime.redis_client import REDIS_UNAVAILABLE
from tests.integration.shopfloor import Shopfloor
from tests.pace import Patience
from tests.simulation import faults
from tests.simulation.auditor import Asked, Auditor
from tests.simulation.clients import PRICES, Clients
from tests.simulation.faults import CRASH_POINTS, HALF_ASLEEP, Crash, Doom, Fate, MortalInbox, MortalPublisher
from workers import apply
from workers.apply import AT_ONCE_MAX_COMMANDS

STEPS: Final = 60

_AWAKE_MILLISECONDS: Final = 40
_MAILBOX_MAX_COMMANDS: Final = 60
_BURST_MAX_COMMANDS: Final = 12
_WORKERS: Final = 4
_RECOVERY_MAX_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.005


class World:
    """One run of one seed. `happened` counts what it did, for people."""

    def __init__(self, seed: int, database_url: str, redis_url: str) -> None:
        self.happened: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._floor = Shopfloor(
            database_url,
            redis_url,
            mailbox_count=self._random.randint(1, 8),
            mailbox_max_commands=_MAILBOX_MAX_COMMANDS,
            batch_max_commands=self._random.choice([1, 3, 16, 64]),
            awake_milliseconds=_AWAKE_MILLISECONDS,
        )
        self._floor.publisher = MortalPublisher(redis_url)
        self._inbox = self._floor.new_inbox(MortalInbox)
        self._at_once_max_commands = self._random.choice([0, AT_ONCE_MAX_COMMANDS])
        self._doom = Doom(database_url)
        self._clients = Clients(self._random, self._floor)
        self._asked: list[Asked] = []
        self._garbage = 0
        self._drains: set[asyncio.Task[None]] = set()
        self._ended: list[asyncio.Task[None]] = []

    async def run(self, steps: int = STEPS) -> None:
        """Lives through so many steps, recovers, and is judged. Raises AssertionError if it does not hold."""
        with patch.object(apply, "AT_ONCE_MAX_COMMANDS", self._at_once_max_commands):
            async with self._floor:
                await self._live(steps)

    async def _live(self, steps: int) -> None:
        await self._open()
        actions: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (8, self._post),
            (10, self._answer_activation),
            (2, self._let_a_drain_end),
            (2, self._sweep),
            (2, self._arm_doom),
            (1, self._post_again),
            (1, self._put_garbage),
            (1, self._cut_connections),
            (1, self._forget_scripts),
            (1, self._lose_activations),
        ]
        weights = [weight for weight, _ in actions]
        for _ in range(steps):
            ((_, action),) = self._random.choices(actions, weights)
            self.happened[action.__name__.strip("_").replace("_", " ")] += 1
            await action()
            self._see_how_drains_ended()
        await self._recover()
        await self._judge()

    async def _open(self) -> None:
        """The catalogue is there before anything can go wrong; goods come in when it may."""
        await self._post_all(self._clients.first_listings())
        await self._floor.drain()
        await self._doom.prepare(self._random.choice([0.0, 0.002, 0.01]))
        await self._post_all(self._clients.first_goods())

    # What clients do.

    async def _post(self) -> None:
        await self._post_all([self._clients.anything() for _ in range(self._random.randint(1, _BURST_MAX_COMMANDS))])

    async def _post_all(self, commands: list[tuple[Asked, Command]]) -> None:
        """Posts as concurrent requests do, and notes which were accepted."""
        answers = await asyncio.gather(*(self._post_one(*each) for each in commands), return_exceptions=True)
        for (asked, _), answer in zip(commands, answers, strict=True):
            if answer is None:
                self._asked.append(asked)
            elif isinstance(answer, MailboxesUnavailable):
                self._asked.append(replace(asked, certain=False))
                self.happened["answer lost"] += 1
            elif isinstance(answer, MailboxFull):
                self.happened["mailbox full"] += 1
            elif isinstance(answer, Known):
                self.happened["answered by its idempotency key"] += 1
            else:
                raise answer

    async def _post_one(self, asked: Asked, command: Command) -> Known | None:
        envelope = self._floor.envelope(
            command,
            actor=Actor.in_role(asked.principal, asked.role),
            command_id=asked.command_id,
            key=asked.key,
            fingerprint=asked.body,
        )
        # Without a claim: as if Redis had forgotten the key meanwhile.
        forgotten = asked.key is None or self._random.random() < 0.5
        claim = None if asked.key is None or forgotten else Claim(asked.principal, asked.key, b"claim")
        return await self._floor.poster.post(asked.mailbox, envelopes.encode(envelope), claim)

    # What workers do.

    async def _answer_activation(self) -> None:
        """Some worker takes the next activation; whether it lives through it is drawn here."""
        if not self._floor.woken:
            return
        if len(self._drains) >= _WORKERS:
            await self._let_a_drain_end()
        mailbox = self._floor.woken.pop(0)
        for _ in range(self._random.choice([1, 1, 1, 2])):  # an activation may come twice
            point = self._random.choice([None, None, *CRASH_POINTS])
            visits = 1 if point == HALF_ASLEEP else self._random.randint(1, 3)  # one falls asleep only once
            self._start_drain(mailbox, Fate(point, visits))

    def _start_drain(self, mailbox: int, its_fate: Fate) -> None:
        drain = asyncio.create_task(self._drain(mailbox, its_fate))
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)
        drain.add_done_callback(self._ended.append)

    async def _drain(self, mailbox: int, its_fate: Fate) -> None:
        """As a worker does it. A worker that has crashed leaves its mailbox awake, and says nothing to anyone."""
        faults.fate.set(its_fate)
        try:
            await self._floor.new_drainer(self._inbox).drain({*range(self._floor.mailbox_count), mailbox})
        except Crash as crash:
            self.happened[f"crash {crash}"] += 1
        except (*LOST_CONNECTION, *REDIS_UNAVAILABLE):
            self.happened["connection lost"] += 1

    async def _let_a_drain_end(self) -> None:
        if self._drains:
            await asyncio.wait(self._drains, return_when=asyncio.FIRST_COMPLETED)

    def _see_how_drains_ended(self) -> None:
        """Raises what no worker has an answer to."""
        while self._ended:
            self._ended.pop().result()

    async def _sweep(self) -> None:
        try:
            everyone = range(self._floor.mailbox_count)
            known = (await rejoin(self._floor.pool, self._floor.redis, self._inbox, everyone)).mailboxes
            for mailbox in await self._inbox.forgotten({*everyone, *known}):
                if await self._inbox.wake(mailbox):
                    self._floor.woken.append(mailbox)
        except (*LOST_CONNECTION, *REDIS_UNAVAILABLE):
            self.happened["sweep failed"] += 1

    # What goes wrong.

    async def _arm_doom(self) -> None:
        await self._doom.arm(self._random.randint(1, 6))

    async def _post_again(self) -> None:
        """An entry that lies in a mailbox comes into it once more."""
        mailbox = self._random.randrange(self._floor.mailbox_count)
        entries = await self._floor.inbox.read(mailbox, "0-0", 1_000)
        # What nobody can read has no id by which a repetition could be known.
        known = {each.command_id for each in self._asked}
        readable = [entry for entry in entries if _command_id(entry.fields) in known]
        if readable:
            await self._floor.put(mailbox, self._random.choice(readable).fields)

    async def _put_garbage(self) -> None:
        self._garbage += 1
        await self._floor.put(
            self._random.randrange(self._floor.mailbox_count), {b"v": b"1", b"e": self._random.randbytes(20)}
        )

    async def _cut_connections(self) -> None:
        await asyncio.gather(self._post(), faults.cut_connections(self._floor.redis))

    async def _forget_scripts(self) -> None:
        await self._floor.redis.script_flush()

    async def _lose_activations(self) -> None:
        self._floor.woken.clear()

    # How it ends.

    async def _recover(self) -> None:
        """Nothing breaks any more; all activations are lost. The sweep alone must bring everything to its end."""
        await self._doom.disarm()
        while self._drains:
            await self._let_a_drain_end()
        self._see_how_drains_ended()
        await self._floor.poster.close()
        self._floor.woken.clear()
        patience = Patience(_RECOVERY_MAX_SECONDS)
        while any([await self._floor.waiting(mailbox) for mailbox in range(self._floor.mailbox_count)]):
            assert not patience.is_over(), f"not recovered within {patience}"
            await self._sweep()
            woken, self._floor.woken[:] = self._floor.woken[:], []
            for mailbox in woken:
                await self._drain(mailbox, Fate())
            await asyncio.sleep(_POLL_SECONDS)

    async def _judge(self) -> None:
        report = await verify(self._floor.database_url, self._floor.redis_url, mailbox_count=self._floor.mailbox_count)
        assert report.clean, report.differences
        self.happened.update(report.counts)
        connection: asyncpg.Connection[Any] = await asyncpg.connect(asyncpg_dsn(self._floor.database_url))
        try:
            await Auditor(PRICES).audit(connection, self._asked, self._garbage)
        finally:
            await connection.close()


def _command_id(fields: dict[bytes, bytes]) -> UUID | None:
    try:
        return envelopes.decode(fields)[0].command_id
    except envelopes.UnreadableEntry:
        return None
