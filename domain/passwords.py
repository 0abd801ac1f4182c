"""Changing a password, which ends all sessions but the one it was changed in.

The password itself (`domain/fields/people.py`) never gets here: commands carry its hash, made by
`runtime/passwords.py`, and the log does not contain even that.
"""

from typing import ClassVar
from uuid import UUID

from domain.accounts import Account, not_found, put
from domain.ids import slot_of_id
from domain.model import Command, Context, Decision, Event, Rejection, Secret, Shop, decides, evolves
from domain.sessions import Session, SessionKept


class ChangePassword(Command, frozen=True):
    """`epoch` is the account's when the old password was checked. All sessions end except `session_id`, if given."""

    account_id: UUID
    epoch: int
    password_hash: Secret
    session_id: UUID | None = None

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class PasswordChanged(Event, frozen=True):
    type: ClassVar[str] = "account.password_changed"
    account_id: UUID
    epoch: int
    password_hash: Secret | None

    def subject(self) -> str:
        return str(self.account_id)


@decides(ChangePassword)
def _change_password(shop: Shop, command: ChangePassword, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None:
        return not_found(command.account_id)
    if not account.active or account.epoch != command.epoch:
        return Rejection("account_changed", "The account has changed since: sign in again.")
    epoch = account.epoch + 1
    events: list[Event] = [PasswordChanged(account.id, epoch, command.password_hash)]
    if command.session_id is not None:
        session = shop.of(Session).get(command.session_id)
        if session is not None and session.account_id == account.id and session.is_open(account.epoch):
            events.append(SessionKept(session.id, account.id, epoch))
    return events


@evolves(PasswordChanged)
def _password_changed(shop: Shop, event: PasswordChanged) -> None:
    put(shop, event.account_id, epoch=event.epoch, password_hash=event.password_hash)
