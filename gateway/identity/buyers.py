"""The identities under which buyers are counted, where something is limited per buyer."""

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
# The longest time an order waits for the account's e-mail address, to be counted under that, too.
_LOOK_UP_SECONDS: Final = 1.0
_EMAIL: Final = select(accounts.c.email).where(accounts.c.id == bindparam("account_id"))
_NOT_IN_TIME: Final[tuple[type[BaseException], ...]] = (TimeoutError, *VIEW_FAILED)

_log = logging.getLogger(__name__)


def identity_key(config: Settings) -> bytes:
    """The key for hashing addresses, at most 64 bytes: without it, nobody can tell whose address a hash stands for."""
    key = config.identity_key or config.jwt_secret
    return key.get_secret_value().encode()[:64]


class Buyers:
    """The identities of quick orders' buyers. As a watcher of the tail, it knows whether the shop counts buyers at all,
    so most orders need no query. Just after the shop begins to count them, and while Postgres is unavailable, customers
    are counted only by their account; guests are always counted by their mailbox."""

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
        """Reads the terms whenever they have changed, once the tail is `watching`."""
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
        """The identities of the buyer of an order with the address `typed`; empty if the shop does not count buyers."""
        if is_guest(principal):
            return identities(None, None, self._identity_key, typed=typed)
        if not self._counted:
            return ()
        return identities(principal, await self._email_of(principal), self._identity_key, typed=typed)

    async def _email_of(self, principal: str) -> str | None:
        """The account's address; None if there is no account, or it cannot be read in time."""
        account_id = account_of(principal)
        if account_id is None:
            return None
        try:
            async with asyncio.timeout(_LOOK_UP_SECONDS), self._engine.connect() as connection:
                found: str | None = await connection.scalar(_EMAIL, {"account_id": account_id})
                return found
        except _NOT_IN_TIME as error:
            _log.warning(
                "an order counts by its account only: its address was not available in time (%s)", type(error).__name__
            )
            return None
