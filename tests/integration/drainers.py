"""Drainers as worker processes have them, and what must hold of the mailboxes they drained."""

from typing import Any
from uuid import UUID

import asyncpg

from runtime.mailboxes.inbox import Inbox
from tests.integration.shopfloor import Shopfloor
from workers.apply import Applier
from workers.drain import Drainer


async def in_order_in_each(floor: Shopfloor, commands: list[UUID]) -> None:
    """Fails unless the log has every mailbox's commands in the order in which they were posted."""
    settled = await floor.settled()
    mailboxes = dict(await floor.pool.fetch("SELECT id, mailbox FROM commands WHERE id = ANY($1::uuid[])", commands))
    for mailbox in set(mailboxes.values()):
        posted = [command for command in commands if mailboxes[command] == mailbox]
        seqs = [settled[command].seq for command in posted]
        assert seqs == sorted(seqs)


def drainer(
    floor: Shopfloor,
    batch_max_commands: int = 64,
    *,
    helped: list[int] | None = None,
    inbox: Inbox | None = None,
    pool: "asyncpg.Pool[Any] | None" = None,
    linger_milliseconds: int = 1,
) -> Drainer:
    async def ask_for_help() -> None:
        if helped is not None:
            helped.append(1)

    inbox = inbox or floor.new_inbox(Inbox)
    return Drainer(
        Applier(pool or floor.pool, floor.publisher, inbox.fence),
        inbox,
        batch_max_commands=batch_max_commands,
        batch_concurrency=2,
        linger_milliseconds=linger_milliseconds,
        awake_milliseconds=floor.awake_milliseconds,
        ask_for_help=ask_for_help,
    )
