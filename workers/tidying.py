"""Retention: the files of jobs, unreadable mailbox entries, unconfirmed registrations and abandoned checkouts are kept
for a while and then removed. Only the last two are part of the log, so removing them takes a command.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.checkouts import ExpireCheckout
from domain.erasure import ExpireRegistration
from domain.model import Command
from domain.orders import GUEST_PREFIX
from runtime.mailboxes.sender import Sender
from runtime.settings import Settings
from workers.erasing import BLANK
from workers.jobs import store
from workers.reactions.commanding import SEND_PATIENCE_SECONDS, TIDEGATE
from workers.reactions.core import NOT_THE_EVENT

_EVERY_SECONDS: Final = 60.0
# Per minute; the rest follow a minute later.
_REGISTRATIONS_AT_ONCE: Final = 500
_CHECKOUTS_AT_ONCE: Final = 2_000

_BLANK_OLD_LETTERS: Final = f"""
    UPDATE dead_letters SET {BLANK}
    WHERE NOT understood AND entry <> '' AND failed_at < now() - make_interval(days => $1)
"""  # noqa: S608 - ours
_OLD_REGISTRATIONS: Final = """
    SELECT id, epoch FROM accounts
    WHERE NOT confirmed AND NOT erased
        AND updated_at < now() - greatest(make_interval(days => $1), make_interval(secs => $2))
    ORDER BY updated_at LIMIT $3
"""

# The first condition, with the shortest of the times, lets Postgres use the index of open checkouts.
_ABANDONED: Final = """
    SELECT id, version FROM checkouts
    WHERE status = 'open'
        AND updated_at < now() - least(make_interval(hours => $1), make_interval(days => $2), make_interval(days => $3))
        AND updated_at < now() - CASE
            WHEN lines = '[]' THEN make_interval(hours => $1)
            WHEN starts_with(customer_id, $4) THEN make_interval(days => $2)
            ELSE make_interval(days => $3)
        END
    ORDER BY updated_at LIMIT $5
"""

_log = logging.getLogger(__name__)


class Tidier:
    """Tidies for one background process. Others may do so at the same time."""

    def __init__(self, config: Settings, pool: asyncpg.Pool[Any], job_pool: asyncpg.Pool[Any], sender: Sender) -> None:
        self._config = config
        self._pool = pool
        self._job_pool = job_pool
        self._sender = sender
        self._tidied_at = float("-inf")

    async def tend(self) -> None:
        """Tidies at most once a minute, however often it is called. If it fails, it tries again a minute later."""
        if time.monotonic() - self._tidied_at < _EVERY_SECONDS:
            return
        self._tidied_at = time.monotonic()
        try:
            await self.tidy()
        except NOT_THE_EVENT as error:
            _log.warning("tidying failed (%s: %s); retrying in a minute", type(error).__name__, error)

    async def tidy(self) -> None:
        """Tidies now."""
        await store.tidy(self._job_pool, self._config.job_result_seconds)
        await self._pool.execute(_BLANK_OLD_LETTERS, self._config.dead_letter_keep_days)
        await self._expire_registrations()
        await self._expire_checkouts()

    async def _expire_registrations(self) -> None:
        # No registration is removed while its link is still valid.
        config = self._config
        old = await self._pool.fetch(
            _OLD_REGISTRATIONS, config.registration_keep_days, config.confirm_link_seconds, _REGISTRATIONS_AT_ONCE
        )
        for account_id, epoch in old:
            await self._send(ExpireRegistration(UUID(int=account_id.int), epoch), f"registration:{account_id}:{epoch}")

    async def _expire_checkouts(self) -> None:
        config = self._config
        keep = config.empty_checkout_keep_hours, config.guest_checkout_keep_days, config.checkout_keep_days
        for checkout_id, version in await self._pool.fetch(_ABANDONED, *keep, GUEST_PREFIX, _CHECKOUTS_AT_ONCE):
            await self._send(ExpireCheckout(UUID(int=checkout_id.int), version), f"checkout:{checkout_id}:{version}")

    async def _send(self, command: Command, key: str) -> None:
        await self._sender.send(command, TIDEGATE, key=key, patience_seconds=SEND_PATIENCE_SECONDS)
