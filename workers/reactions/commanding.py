"""For reactions that send commands: they use mailboxes like any client, and wait until all commands are decided."""

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
    """Sends each command with its idempotency key, so that sending it again does nothing. Returns when all are applied
    or rejected. Raises Away if no worker decides them, and GiveUp if one of them failed."""
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
