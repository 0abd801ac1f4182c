"""Accounts and API keys as the API shows them, and what a sign-in needs to know of an account."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.web.pages import Page, made_key, newest_first, page_of
from runtime.tables import accounts, api_keys, sessions


class AccountView(BaseModel):
    """An account. `email` is what its owner signs in with."""

    id: UUID
    email: str
    name: str
    role: str
    active: bool
    created_at: datetime
    updated_at: datetime


class KeyView(BaseModel):
    """An API key, without its secret, which cannot be shown again. `created_by` is a principal."""

    id: UUID
    name: str
    role: str
    scopes: list[str]
    created_by: str
    revoked: bool
    created_at: datetime
    last_used_at: datetime | None


class SignIn(NamedTuple):
    """What a password is checked against."""

    account_id: UUID
    email: str
    role: str
    active: bool
    epoch: int
    password_hash: str
    confirmed: bool


class SessionNow(NamedTuple):
    """What the next access token of a session says."""

    role: str
    scopes: list[str]
    epoch: int


_SHOWN = [accounts.c[name] for name in AccountView.model_fields]
_KEY_SHOWN = [api_keys.c[name] for name in KeyView.model_fields]
_SIGN_IN = [accounts.c[name] for name in ("id", "email", "role", "active", "epoch", "password_hash", "confirmed")]


async def find(connection: AsyncConnection, account_id: UUID) -> AccountView | None:
    """The account, if there is one."""
    query = select(*_SHOWN).where(accounts.c.id == account_id, ~accounts.c.erased)
    row = (await connection.execute(query)).mappings().first()
    return None if row is None else AccountView(**row)


async def newest(
    connection: AsyncConnection, cursor: str | None, limit: int, *, email: str | None, role: str | None
) -> Page[AccountView]:
    """Accounts, newest first."""
    query = newest_first(select(*_SHOWN).where(~accounts.c.erased), accounts, cursor, limit)
    if email is not None:
        query = query.where(accounts.c.email == email)
    if role is not None:
        query = query.where(accounts.c.role == role)
    rows = (await connection.execute(query)).mappings()
    found = [AccountView(**row) for row in rows]
    return page_of(found, limit, lambda account: made_key(account.created_at, account.id))


async def sign_in_as(connection: AsyncConnection, email: str) -> SignIn | None:
    """The account of this e-mail address in its one spelling."""
    row = (await connection.execute(select(*_SIGN_IN).where(accounts.c.email == email))).first()
    return None if row is None else SignIn(*row)


async def sign_in_of(connection: AsyncConnection, account_id: UUID) -> SignIn | None:
    """The same, of an account that is known already."""
    row = (await connection.execute(select(*_SIGN_IN).where(accounts.c.id == account_id, ~accounts.c.erased))).first()
    return None if row is None else SignIn(*row)


async def session_now(connection: AsyncConnection, session_id: UUID) -> SessionNow | None:
    """The session, if it is open."""
    query = (
        select(accounts.c.role, sessions.c.scopes, accounts.c.epoch)
        .join_from(sessions, accounts, accounts.c.id == sessions.c.account_id)
        .where(sessions.c.id == session_id, sessions.c.closed.is_(None), sessions.c.epoch == accounts.c.epoch)
    )
    row = (await connection.execute(query)).first()
    return None if row is None else SessionNow(*row)


async def find_key(connection: AsyncConnection, key_id: UUID) -> KeyView | None:
    """The API key, if there is one."""
    row = (await connection.execute(select(*_KEY_SHOWN).where(api_keys.c.id == key_id))).mappings().first()
    return None if row is None else KeyView(**row)


async def newest_keys(connection: AsyncConnection, cursor: str | None, limit: int) -> Page[KeyView]:
    """API keys, revoked ones among them, newest first."""
    rows = (await connection.execute(newest_first(select(*_KEY_SHOWN), api_keys, cursor, limit))).mappings()
    return page_of([KeyView(**row) for row in rows], limit, lambda key: made_key(key.created_at, key.id))
