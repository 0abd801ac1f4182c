"""Sessions: opened by signing in, and kept alive by refresh tokens.

A session's id carries the slot of its account, so that all commands about the two are applied in order. Its
`generation` counts its refreshes, and only the newest refresh token is valid. If an older one is used, either it or its
successor was stolen, so the session ends for both parties (RFC 9700, section 4.14.2). The one before the newest is
still accepted for some seconds, since two tabs may refresh at once and a response may be lost; both then get tokens of
the newest generation, so that neither looks stolen at the next refresh.
"""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final
from uuid import UUID

import msgspec

from domain.accounts import Account
from domain.ids import slot_of_id
from domain.limits import REFRESH_AGAIN_SECONDS
from domain.model import Command, Context, Decision, Entity, Event, Rejection, Shop, decides, evolves
from domain.roles import allowed

SIGNED_OUT: Final = "signed_out"
REUSED: Final = "reused"


class Session(Entity, frozen=True):
    """A session. `scopes` are those granted; `epoch` is its account's; `closed` is why it ended before `expires_at`, or
    None; `refreshed_at` is when the newest refresh token was first issued. Production rejects sessions that were opened
    in `development`."""

    id: UUID
    account_id: UUID
    scopes: tuple[str, ...]
    generation: int
    epoch: int
    expires_at: datetime
    closed: str | None
    refreshed_at: datetime | None = None
    development: bool = False

    def slot(self) -> int:
        return slot_of_id(self.account_id)

    def is_open(self, epoch: int) -> bool:
        """Whether it is open while the account is at `epoch`. Expiry is checked with its refresh tokens."""
        return self.closed is None and self.epoch == epoch


class OpenSession(Command, frozen=True):
    """`epoch` is the account's when its password was checked."""

    session_id: UUID
    account_id: UUID
    epoch: int
    scopes: tuple[str, ...]
    expires_at: datetime

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class RefreshSession(Command, frozen=True):
    """`generation` is the one in the refresh token."""

    session_id: UUID
    account_id: UUID
    generation: int

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class CloseSession(Command, frozen=True):
    session_id: UUID
    account_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class SessionOpened(Event, frozen=True):
    """With everything that goes into the first tokens."""

    type: ClassVar[str] = "session.opened"
    session_id: UUID
    account_id: UUID
    role: str
    scopes: tuple[str, ...]
    epoch: int
    expires_at: datetime
    development: bool = False

    def subject(self) -> str:
        return str(self.session_id)


class SessionRefreshed(Event, frozen=True):
    """With everything that goes into the next tokens. A tolerated repetition has the generation and `refreshed_at` of
    the refresh before it."""

    type: ClassVar[str] = "session.refreshed"
    session_id: UUID
    account_id: UUID
    generation: int
    role: str
    scopes: tuple[str, ...]
    epoch: int
    expires_at: datetime
    refreshed_at: datetime | None = None

    def subject(self) -> str:
        return str(self.session_id)


class SessionKept(Event, frozen=True):
    """The account's epoch rose, but this session continues."""

    type: ClassVar[str] = "session.kept"
    session_id: UUID
    account_id: UUID
    epoch: int

    def subject(self) -> str:
        return str(self.session_id)


class SessionClosed(Event, frozen=True):
    """`reason`: signed_out, or reused (an old refresh token was used again)."""

    type: ClassVar[str] = "session.closed"
    session_id: UUID
    account_id: UUID
    reason: str

    def subject(self) -> str:
        return str(self.session_id)


@decides(OpenSession)
def _open(shop: Shop, command: OpenSession, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or not account.active or account.epoch != command.epoch:
        return Rejection("account_changed", "The account is not active, or has changed since.")
    if not account.confirmed:
        return Rejection("account_changed", "The account's address is not confirmed.")
    if account.development and not context.actor.development:
        return Rejection("account_changed", "The account was created in development and cannot sign in to production.")
    if not allowed(account.role, command.scopes):
        return Rejection("account_changed", "The account's role does not allow these scopes.")
    opened = SessionOpened(
        command.session_id,
        account.id,
        account.role,
        command.scopes,
        account.epoch,
        command.expires_at,
        context.actor.development,
    )
    return (opened,)


@decides(RefreshSession)
def _refresh(shop: Shop, command: RefreshSession, context: Context) -> Decision:
    account, session = shop.of(Account).get(command.account_id), shop.of(Session).get(command.session_id)
    if account is None or session is None or session.account_id != account.id or not session.is_open(account.epoch):
        return _ended()
    if session.development and not context.actor.development:
        return _ended()
    if command.generation > session.generation:
        return _ended()  # signed by us but never issued: the database was restored from an earlier backup
    again = command.generation < session.generation
    if again and not _is_forgiven(command, session, context.at):
        return (SessionClosed(session.id, account.id, REUSED),)
    refreshed = SessionRefreshed(
        session.id,
        account.id,
        session.generation if again else session.generation + 1,
        account.role,
        session.scopes,
        account.epoch,
        session.expires_at,
        session.refreshed_at if again else context.at,
    )
    return (refreshed,)


def _is_forgiven(command: RefreshSession, session: Session, at: datetime) -> bool:
    """Whether it repeats a refresh of a few seconds ago."""
    return (
        command.generation == session.generation - 1
        and session.refreshed_at is not None
        and at - session.refreshed_at <= timedelta(seconds=REFRESH_AGAIN_SECONDS)
    )


@decides(CloseSession)
def _close(shop: Shop, command: CloseSession, context: Context) -> Decision:
    session = shop.of(Session).get(command.session_id)
    if session is None or session.account_id != command.account_id or session.closed is not None:
        return _ended()
    return (SessionClosed(session.id, session.account_id, SIGNED_OUT),)


def _ended() -> Rejection:
    return Rejection("session_closed", "The session has ended: sign in again.")


@evolves(SessionOpened)
def _opened(shop: Shop, event: SessionOpened) -> None:
    shop.of(Session)[event.session_id] = Session(
        event.session_id,
        event.account_id,
        event.scopes,
        0,
        event.epoch,
        event.expires_at,
        None,
        development=event.development,
    )


@evolves(SessionRefreshed)
def _refreshed(shop: Shop, event: SessionRefreshed) -> None:
    _put(shop, event.session_id, generation=event.generation, refreshed_at=event.refreshed_at)


@evolves(SessionKept)
def _kept(shop: Shop, event: SessionKept) -> None:
    _put(shop, event.session_id, epoch=event.epoch)


@evolves(SessionClosed)
def _closed(shop: Shop, event: SessionClosed) -> None:
    _put(shop, event.session_id, closed=event.reason)


def _put(shop: Shop, session_id: UUID, **changes: Any) -> None:
    """Changes the session, if it is loaded."""
    sessions = shop.of(Session)
    if session_id in sessions:
        sessions[session_id] = msgspec.structs.replace(sessions[session_id], **changes)
