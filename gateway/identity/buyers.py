"""Buyers: what they are counted by, where something is limited for each."""

import asyncio
import logging
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.customers import account_of
from domain.orders import is_guest
from domain.quote.terms.limits import identities
from domain.terms import TermsStated
from gateway.views.terms import now as terms_now
from runtime.engine import VIEW_FAILED
from runtime.records import EventRecord
from runtime.settings import Settings
from runtime.tables import accounts
from runtime.terms import TermsMemory

_RETRY_SECONDS: Final = 1.0
# An order does not wait longer than that to be counted by its account's mailbox, too.
_LOOK_UP_SECONDS: Final = 1.0
_EMAIL: Final = select(accounts.c.email).where(accounts.c.id == bindparam("account_id"))
_NOT_IN_TIME: Final[tuple[type[BaseException], ...]] = (TimeoutError, *VIEW_FAILED)

_log = logging.getLogger(__name__)


def identity_key(config: Settings) -> bytes:
    """What addresses are hashed with, at most 64 bytes: nobody else can tell whose a hash is."""
    key = config.identity_key or config.jwt_secret
    return key.get_secret_value().encode()[:64]


class Buyers:
    """What the buyers of quick orders are counted by. A watcher of the tail: so it knows whether the shop counts buyers
    at all, and most orders need no query. For a moment after the shop has begun to, and while Postgres is away, a
    customer is counted by the account alone; a guest is always counted by the mailbox."""

    def __init__(self, engine: AsyncEngine, identity_key: bytes) -> None:
        self._engine = engine
        self._identity_key = identity_key
        self._memory = TermsMemory()
        self._counted = False
        self._stale = asyncio.Event()
        self._stale.set()

    def take(self, records: list[EventRecord]) -> None:
        """Takes the tail's events."""
        if any(record.type == TermsStated.type for record in records):
            self._stale.set()

    def restart(self) -> None:
        """The log was replaced by another one."""
        self._stale.set()

    async def run(self, watching: asyncio.Event) -> None:
        """Reads the terms whenever they have changed, from when the tail is `watching` on."""
        await watching.wait()
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                async with self._engine.connect() as connection:
                    self._counted = (await terms_now(connection, self._memory)).count_buyers
            except VIEW_FAILED as error:
                _log.warning("the terms cannot be read (%s); trying again", type(error).__name__)
                self._stale.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def identities(self, principal: str, typed: str | None) -> tuple[str, ...]:
        """What the buyer of an order that names the address `typed` is counted by; nothing if no buyer is counted."""
        if is_guest(principal):
            return identities(None, None, self._identity_key, typed=typed)
        if not self._counted:
            return ()
        return identities(principal, await self._email_of(principal), self._identity_key, typed=typed)

    async def _email_of(self, principal: str) -> str | None:
        """The account's address, if there is an account, and it can be read in time."""
        account_id = account_of(principal)
        if account_id is None:
            return None
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS), self._engine.connect() as connection:
                found: str | None = await connection.scalar(_EMAIL, {"account_id": account_id})
                return found
        except _NOT_IN_TIME as error:
            _log.warning("an order is counted by its account alone: no address in time (%s)", type(error).__name__)
            return None
