"""Reactions that have something done: they send commands like anybody else, and wait until all are decided."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from domain.model import Actor, Command
from domain.roles import STAFF
from runtime.mailboxes.sender import wait_for_outcomes
from runtime.records import FAILED
from workers.failures import Away
from workers.reactions.core import GiveUp, Tools

TIDEGATE: Final = Actor.in_role("tidegate", STAFF)
SEND_PATIENCE_SECONDS: Final = 10.0

DECIDED_MAX_SECONDS: Final = 120.0
"""Longer than `wait_for_outcomes` waits without progress."""


async def have_decided(tools: Tools, commands: Iterable[tuple[str, Command]]) -> None:
    """Sends the commands, each under its key: if it has been sent before, it is the same command. Returns when all are
    applied or refused. Raises Away if no worker does so, and GiveUp if one failed."""
    command_ids = await asyncio.gather(
        *(
            tools.sender.send(command, TIDEGATE, key=key, patience_seconds=SEND_PATIENCE_SECONDS)
            for key, command in commands
        )
    )
    outcomes = await wait_for_outcomes(tools.pool, command_ids)
    if len(outcomes) < len(set(command_ids)):
        raise Away("no worker applied the commands")
    for outcome in outcomes.values():
        if outcome.status == FAILED:
            raise GiveUp(f"{outcome.code}: {outcome.detail}")
