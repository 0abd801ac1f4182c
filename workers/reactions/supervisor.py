"""Decides which reactions one background process runs, when, and how many at a time. As soon as the feed reports
committed events, each reaction that may be interested is requested through Taskiq, so that any background process can
run it. That is only a hint: once a second, Postgres is searched for those that are due. Kinds of reaction with many
instances (one for every webhook) are limited to part of the process, so that the others have room even if all of those
hang.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from runtime.activation import REACT_TASK, ActivationBroker, kick
from workers.failures import DATABASE_TROUBLE
from workers.headlines import Headline
from workers.reactions.core import Reaction, Source, Tools
from workers.reactions.positions import Positions
from workers.reactions.run import Runner

REFRESH_SECONDS: Final = 0.9
"""How old the list of reactions may be: a little less than the second between two calls of `tend`."""
KICK_INTERVAL_SECONDS: Final = 0.05
"""The shortest interval at which one process requests the same reaction."""

_log = logging.getLogger(__name__)


class Supervisor:
    """Finds, wakes and runs the reactions that the sources name."""

    def __init__(self, tools: Tools, broker: ActivationBroker, sources: Sequence[Source]) -> None:
        config = tools.config
        self._broker = broker
        self._sources = sources
        self._found: dict[Source, Sequence[Reaction]] = {}
        self._reactions: dict[str, Reaction] = {}
        self._refreshed_at = float("-inf")
        self._refreshing = asyncio.Lock()
        self._positions = Positions(tools.pool, lease_seconds=config.reaction_lease_seconds)
        self._runner = Runner(tools.pool, lease_seconds=config.reaction_lease_seconds)
        self._many_max = max(1, config.background_concurrency * 3 // 4)
        self._many = 0
        self._runs: set[asyncio.Task[bool]] = set()
        self._heard: set[str] = set()
        self._has_heard = asyncio.Event()
        self._kicking: asyncio.Task[None]

    async def start(self) -> None:
        self._kicking = asyncio.create_task(self._kick_interested())
        await self.tend()

    async def stop(self) -> None:
        """Ends the runs, which give their leases back."""
        self._kicking.cancel()
        for run in self._runs:
            run.cancel()
        await asyncio.gather(self._kicking, *self._runs, return_exceptions=True)

    async def tend(self) -> None:
        """Requests every reaction that has something to do. It looks at most once a second, however often it is
        called."""
        try:
            if await self._refresh():
                for name in await self._positions.due(self._reactions):
                    await kick(self._broker, REACT_TASK, name)
        except DATABASE_TROUBLE as error:
            _log.warning("not tending reactions: Postgres is unavailable (%s)", type(error).__name__)

    async def react(self, name: str) -> None:
        """Runs the reaction for a while; requests it again if there is more to do."""
        is_one_of_many = ":" in name
        if is_one_of_many and self._many >= self._many_max:
            return  # it is found again when others are done
        self._many += is_one_of_many
        try:
            await self._refresh()
            reaction = self._reactions.get(name)
            if reaction is not None and await self._run(reaction):
                await kick(self._broker, REACT_TASK, name)
        except DATABASE_TROUBLE as error:
            _log.warning("reaction %s is waiting: Postgres is unavailable (%s)", name, type(error).__name__)
        finally:
            self._many -= is_one_of_many

    async def _run(self, reaction: Reaction) -> bool:
        """The run is its own asyncio task, so that `stop` can end it."""
        run = asyncio.create_task(self._runner.run(reaction))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        await asyncio.wait({run})
        return not run.cancelled() and run.result()

    async def _refresh(self) -> bool:
        """Asks the sources again, unless they have just been asked; returns whether it did."""
        async with self._refreshing:
            if time.monotonic() - self._refreshed_at < REFRESH_SECONDS:
                return False
            for source in self._sources:
                try:
                    self._found[source] = await source.reactions()
                except DATABASE_TROUBLE:
                    raise
                except Exception:
                    _log.exception("%s does not say which reactions it has; keeping the previous ones", source)
            reactions = {reaction.name: reaction for found in self._found.values() for reaction in found}
            is_news = _known(reactions.values()) != _known(self._reactions.values())
            # Postgres may be new, or restored to a time before one of these reactions existed.
            if is_news or await self._positions.lack(reactions):
                await self._positions.know(reactions.values())
            self._reactions = reactions
            self._refreshed_at = time.monotonic()
            return True

    def hear(self, headlines: Sequence[Headline]) -> None:
        """Called with newly committed events; notes which reactions may be interested."""
        types = {headline.type for headline in headlines}
        for name, reaction in self._reactions.items():
            # A reaction that wants older events is found when they are due.
            if not reaction.delay_seconds and (reaction.interests is None or not types.isdisjoint(reaction.interests)):
                self._heard.add(name)
        if self._heard:
            self._has_heard.set()

    async def _kick_interested(self) -> None:
        while True:
            await self._has_heard.wait()
            self._has_heard.clear()
            heard, self._heard = self._heard, set()
            for name in heard:
                await kick(self._broker, REACT_TASK, name)
            await asyncio.sleep(KICK_INTERVAL_SECONDS)


def _known(reactions: Iterable[Reaction]) -> set[tuple[str, float]]:
    return {(reaction.name, reaction.delay_seconds) for reaction in reactions}
