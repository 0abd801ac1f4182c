"""API keys as bearer tokens, `tgk_<id>_<secret>`: looked up when first used, then known until they are revoked.

A key is refused once the log says that it is revoked (see `gateway/identity/revocations.py`); in addition, keys are
looked up again after a while. The time of last use is written to Postgres now and then; it is telemetry, and losing it
does no harm.
"""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import time
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.api_keys import key_principal
from domain.model import Actor
from domain.roles import SCOPES_OF_ROLE
from gateway.identity.caller import Caller, invalid_token
from gateway.identity.revocations import Revocations
from runtime.engine import VIEW_FAILED
from runtime.tables import api_keys

PREFIX: Final = "tgk_"

_SECRET_BYTES: Final = 32
_KEY: Final = re.compile(rf"{PREFIX}([0-9a-f]{{32}})_([A-Za-z0-9_-]{{43}})")
_USE_NOTED_SECONDS: Final = 60.0

_log = logging.getLogger(__name__)


class NewSecret(NamedTuple):
    """A new key, to be shown once, and what is stored of it."""

    key: str
    secret_hash: str


class _Known(NamedTuple):
    caller: Caller
    secret_hash: str
    until: float


def new_secret(key_id: UUID) -> NewSecret:
    """A key with that id. Its secret has 256 random bits, so a plain fast hash is safe to store."""
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    return NewSecret(f"{PREFIX}{key_id.hex}_{secret}", _hash(secret))


class ApiKeys:
    """The API keys that this process has seen."""

    def __init__(
        self,
        engine: AsyncEngine,
        revocations: Revocations,
        *,
        development: bool,
        trusted_seconds: float,
        cache_max_entries: int,
    ) -> None:
        """Keys created in development are valid in `development` only."""
        self._engine = engine
        self._revocations = revocations
        self._development = development
        self._trusted_seconds = trusted_seconds
        self._cache_max_entries = cache_max_entries
        self._known: dict[UUID, _Known] = {}
        self._noted: dict[UUID, float] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def verify(self, token: str) -> Caller:
        """The key's caller. Raises a 401 Problem, and what a view raises if the key must be looked up."""
        said = _KEY.fullmatch(token)
        if said is None:
            raise invalid_token("The API key is not valid.")
        key_id, secret = UUID(said[1]), said[2]
        known = self._known.get(key_id)
        if known is None or known.until <= time.monotonic():
            known = await self._look_up(key_id)
        if (
            known is None
            or not hmac.compare_digest(known.secret_hash, _hash(secret))
            or self._revocations.refuse(known.caller)
        ):
            raise invalid_token("The API key is not valid.")
        self._note_use(key_id)
        return known.caller

    async def close(self) -> None:
        """Waits for the last notes to be written."""
        await asyncio.gather(*self._noting)

    async def _look_up(self, key_id: UUID) -> _Known | None:
        query = select(api_keys.c.role, api_keys.c.scopes, api_keys.c.secret_hash).where(
            api_keys.c.id == key_id, ~api_keys.c.revoked
        )
        if not self._development:
            query = query.where(~api_keys.c.development)
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        self._known.pop(key_id, None)
        if row is None:
            return None
        caller = Caller(
            Actor(key_principal(key_id), row.role, SCOPES_OF_ROLE[row.role].intersection(row.scopes)),
            float("inf"),
            key_id=key_id,
        )
        if len(self._known) >= self._cache_max_entries:
            del self._known[next(iter(self._known))]
        known = self._known[key_id] = _Known(caller, row.secret_hash, time.monotonic() + self._trusted_seconds)
        return known

    def _note_use(self, key_id: UUID) -> None:
        now = time.monotonic()
        if self._noted.get(key_id, 0.0) + _USE_NOTED_SECONDS > now:
            return
        self._noted.pop(key_id, None)
        while self._noted and self._noted[first := next(iter(self._noted))] + _USE_NOTED_SECONDS <= now:
            del self._noted[first]
        self._noted[key_id] = now
        task = asyncio.create_task(self._write_use(key_id))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _write_use(self, key_id: UUID) -> None:
        try:
            async with self._engine.begin() as connection:
                await connection.execute(
                    update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=func.now())
                )
        except VIEW_FAILED as error:
            _log.warning("the use of an API key could not be recorded (%s)", type(error).__name__)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
