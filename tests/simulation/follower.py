"""A reaction that only the simulation has: it must handle every event, in order. What it has handled is recorded
outside of the shop, so it survives the process that ran it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final
from uuid import UUID

from runtime.records import EventRecord
from runtime.settings import Settings
from tests.simulation.calls import Calls
from tests.simulation.server import Server
from workers.failures import Away
from workers.reactions.core import Reaction

_TAKES_SECONDS: Final = 0.001
_AWAY: Final = 0.02


class Followed:
    """What has been handled in one world."""

    def __init__(self, random: Random, calls: Calls) -> None:
        self.happened: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._random = random
        self._calls = calls
        self._handled: set[tuple[int, UUID]] = set()
        self._highest = 0

    async def handle(self, record: EventRecord) -> None:
        """Takes a moment, or fails."""
        with self._calls.about(Follower.name):
            if record.seq > self._highest + 1:
                self.wrong.append(f"the reaction was given seq {record.seq} after {self._highest}")
            await asyncio.sleep(self._random.expovariate(1 / _TAKES_SECONDS))
            if self._random.random() < _AWAY:
                self.happened["reaction failed"] += 1
                raise Away("nobody listens")
            event = record.seq, UUID(int=record.command_id.int)
            self.happened["reaction repeated"] += event in self._handled
            self._handled.add(event)
            self._highest = max(self._highest, record.seq)

    def judge(self, server: Server) -> None:
        """Every event of the log has been handled."""
        log = {
            (row["seq"], UUID(int=row["id"].int)) for row in server.fetch("SELECT seq, command_id AS id FROM events")
        }
        assert log <= self._handled, f"never handled: {log - self._handled}"
        self.happened["events handled"] += len(log)


class Follower(Reaction):
    """The reaction, as a process has it."""

    name = "simulation"
    interests = None

    def __init__(self, config: Settings, followed: Followed) -> None:
        super().__init__(config)
        self._followed = followed

    async def handle(self, record: EventRecord) -> None:
        await self._followed.handle(record)


def is_level(server: Server) -> bool:
    """Whether the reaction has come to the end of the log."""
    positions: Sequence[object] = server.fetch(
        "SELECT FROM reactions r, event_counter c WHERE r.name = $1 AND r.position = c.last_seq", Follower.name
    )
    return bool(positions)
