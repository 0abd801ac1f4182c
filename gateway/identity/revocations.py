"""Credentials that are no longer valid: closed sessions, accounts with a newer epoch, revoked API keys. Each gateway
process follows the log and keeps these in memory, so that checking a token takes no query, and a revoked one is
rejected everywhere a moment after the commit. Only revocations younger than the oldest possibly valid access token need
be remembered. A starting process reads these from Postgres, retrying while it is unavailable.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.accounts import AccountChanged, AccountDeactivated
from domain.api_keys import ApiKeyRevoked
from domain.erasure import AccountErased
from domain.passwords import PasswordChanged
from domain.sessions import SessionClosed
from gateway.identity.caller import Caller
from runtime.engine import VIEW_FAILED
from runtime.records import EventRecord
from runtime.tables import accounts, api_keys, sessions

_RETRY_SECONDS: Final = 1.0
# How far the clocks of workers, Postgres and gateways may differ.
_CLOCKS_APART_SECONDS: Final = 60.0

_INTERESTS: Final = frozenset(
    event.type
    for event in (SessionClosed, AccountChanged, AccountDeactivated, AccountErased, PasswordChanged, ApiKeyRevoked)
)

_log = logging.getLogger(__name__)


class Revocations:
    """Follows the tail, and checks for every request whether its credentials are still valid."""

    def __init__(self, engine: AsyncEngine, *, token_seconds: float) -> None:
        """`token_seconds` is how long an access token is valid, or an API key is trusted without another look-up."""
        self._engine = engine
        self._memory_seconds = token_seconds + _CLOCKS_APART_SECONDS
        # Each with when it was learned, oldest first.
        self._ended: dict[UUID, float] = {}
        self._epochs: dict[str, tuple[int, float]] = {}
        self._watchers: list[Callable[[], None]] = []
        self.are_known = False
        """Whether earlier ones have been read from Postgres."""

    def is_ended(self, session_id: UUID) -> bool:
        """Whether the session was closed."""
        return session_id in self._ended

    def refuse(self, caller: Caller) -> bool:
        """Whether the caller's credentials are no longer valid. Tokens that did not come from a sign-in cannot be
        revoked."""
        if caller.session_id is None:
            return caller.key_id is not None and caller.key_id in self._ended
        if caller.session_id in self._ended:
            return True
        known = self._epochs.get(caller.actor.principal)
        return known is not None and known[0] > caller.epoch

    def watch(self, watcher: Callable[[], None]) -> None:
        """Calls `watcher` whenever a new revocation is known here."""
        self._watchers.append(watcher)

    def take(self, records: list[EventRecord]) -> None:
        """Takes the tail's events."""
        revoked = [record.event() for record in records if record.type in _INTERESTS]
        for event in revoked:
            match event:
                case SessionClosed(session_id=ended) | ApiKeyRevoked(key_id=ended):
                    self._end(ended)
                case AccountChanged(account_id=account_id, epoch=epoch):
                    self._raise_epoch(str(account_id), epoch)
                case AccountDeactivated(account_id=account_id, epoch=epoch):
                    self._raise_epoch(str(account_id), epoch)
                case AccountErased(account_id=account_id, epoch=epoch):
                    self._raise_epoch(str(account_id), epoch)
                case PasswordChanged(account_id=account_id, epoch=epoch):
                    self._raise_epoch(str(account_id), epoch)
        if revoked:
            self._tell()

    async def load(self, watching: asyncio.Event) -> None:
        """Loads the revocations from before the tail began, once the tail is `watching` and Postgres is available.
        Until then, they are not known here."""
        await watching.wait()
        while True:
            try:
                await self._read()
            except VIEW_FAILED as error:
                _log.warning("revocations cannot be read (%s); trying again", type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                self.are_known = True
                return

    async def _read(self) -> None:
        since = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, self._memory_seconds)
        async with self._engine.connect() as connection:

            async def recent(table: Any, *columns: Any, only: Any) -> Any:
                return await connection.execute(select(*columns).where(only, table.c.updated_at > since))

            for (session_id,) in await recent(sessions, sessions.c.id, only=sessions.c.closed.is_not(None)):
                self._end(session_id)
            for (key_id,) in await recent(api_keys, api_keys.c.id, only=api_keys.c.revoked):
                self._end(key_id)
            for account_id, epoch in await recent(accounts, accounts.c.id, accounts.c.epoch, only=accounts.c.epoch > 0):
                self._raise_epoch(str(account_id), epoch)
        self._tell()

    def _tell(self) -> None:
        for watcher in self._watchers:
            watcher()

    def _end(self, session_or_key: UUID) -> None:
        now = self._forget()
        self._ended.setdefault(session_or_key, now)

    def _raise_epoch(self, account: str, epoch: int) -> None:
        now = self._forget()
        known, _ = self._epochs.pop(account, (0, 0.0))
        self._epochs[account] = max(known, epoch), now

    def _forget(self) -> float:
        """Forgets revocations that are older than any valid token; returns the current time."""
        now = time.monotonic()
        oldest = now - self._memory_seconds
        while self._ended and self._ended[first := next(iter(self._ended))] < oldest:
            del self._ended[first]
        while self._epochs and self._epochs[account := next(iter(self._epochs))][1] < oldest:
            del self._epochs[account]
        return now
