"""Passwords: what may be one, and its change, which ends all sessions but the one that it was changed in.

A password itself is never here: commands carry its hash, made by `runtime/passwords.py`, and the log not even that.
"""

import unicodedata
from typing import ClassVar, Final
from uuid import UUID

from domain.accounts import Account, not_found, put
from domain.ids import slot_of_id
from domain.limits import PASSWORD_MAX_CHARS, PASSWORD_MIN_CHARS
from domain.model import Command, Decision, Event, Rejection, Secret, Shop, Who, decides, evolves
from domain.sessions import Session, SessionKept

# No letter is written with more characters than four. Ordering the accents of a letter takes time that grows with the
# square of their number, so what is longer than any password is not even looked at.
_SPELLING_MAX_CHARS: Final = 4 * PASSWORD_MAX_CHARS


def normal_password(text: str) -> str | None:
    """The password in its one spelling (NFKC, as RFC 8265 and NIST SP 800-63B have it): keyboards write the same letter
    in several ways. None if it is too short or too long."""
    if len(text) > _SPELLING_MAX_CHARS:
        return None
    password = unicodedata.normalize("NFKC", text)
    return password if PASSWORD_MIN_CHARS <= len(password) <= PASSWORD_MAX_CHARS else None


class ChangePassword(Command, frozen=True):
    """`epoch` is that of the account whose password was checked. All sessions end but `session_id`, if it is given."""

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
def _change_password(shop: Shop, command: ChangePassword, who: Who) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None:
        return not_found(command.account_id)
    if not account.active or account.epoch != command.epoch:
        return Rejection("account_changed", "The account was changed meanwhile: sign in again.")
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
