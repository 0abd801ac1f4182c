"""Registration: the owner of a new account confirms it by a link in a mail before anybody can sign in to it, and before
anything else is sent to the address. Password resets work the same way, and also confirm the address.

Links contain the account and its epoch, which increases with every password change and every new registration, so only
the newest link works, and only once. Only the owner of the address learns, by mail, whether there is an account.
"""

from typing import ClassVar
from uuid import UUID

from domain.accounts import Account, check_name, not_found, put
from domain.ids import slot_of_id
from domain.model import Command, Context, Decision, Event, Personal, Rejection, Secret, Shop, decides, evolves
from domain.passwords import PasswordChanged


class RegisterAgain(Command, frozen=True):
    """Somebody registers an address that already has an account. An account that was never confirmed takes the new name
    and password: the owner of the address decides which registration is genuine."""

    account_id: UUID
    name: Personal
    password_hash: Secret

    def __post_init__(self) -> None:
        check_name(self.name)

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class ConfirmAddress(Command, frozen=True):
    """`epoch` is the one in the link."""

    account_id: UUID
    epoch: int

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class RequestPasswordReset(Command, frozen=True):
    account_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class ResetPassword(Command, frozen=True):
    """`epoch` is the one in the link."""

    account_id: UUID
    epoch: int
    password_hash: Secret

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class AccountRegisteredAgain(Event, frozen=True):
    """The account after the change; it still has to be confirmed."""

    type: ClassVar[str] = "account.registered_again"
    account_id: UUID
    epoch: int
    name: Personal | None
    password_hash: Secret | None

    def subject(self) -> str:
        return str(self.account_id)


class RegistrationRepeated(Event, frozen=True):
    """Somebody, perhaps its owner, registered the address of a confirmed account. Nothing changes."""

    type: ClassVar[str] = "account.registration_repeated"
    account_id: UUID

    def subject(self) -> str:
        return str(self.account_id)


class AccountConfirmed(Event, frozen=True):
    type: ClassVar[str] = "account.confirmed"
    account_id: UUID

    def subject(self) -> str:
        return str(self.account_id)


class PasswordResetRequested(Event, frozen=True):
    """`epoch` is the account's, for the link. Nothing changes."""

    type: ClassVar[str] = "account.password_reset_requested"
    account_id: UUID
    epoch: int

    def subject(self) -> str:
        return str(self.account_id)


@decides(RegisterAgain)
def _register_again(shop: Shop, command: RegisterAgain, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or account.erased:
        return not_found(command.account_id)
    if account.confirmed:
        return (RegistrationRepeated(account.id),)
    return (AccountRegisteredAgain(account.id, account.epoch + 1, command.name, command.password_hash),)


@decides(ConfirmAddress)
def _confirm(shop: Shop, command: ConfirmAddress, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or account.confirmed or not account.active or account.epoch != command.epoch:
        return _invalid_link()
    return (AccountConfirmed(account.id),)


@decides(RequestPasswordReset)
def _request_reset(shop: Shop, command: RequestPasswordReset, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or not account.active or (account.development and not context.actor.development):
        return not_found(command.account_id)
    return (PasswordResetRequested(account.id, account.epoch),)


@decides(ResetPassword)
def _reset(shop: Shop, command: ResetPassword, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or not account.active or account.epoch != command.epoch:
        return _invalid_link()
    changed = PasswordChanged(account.id, account.epoch + 1, command.password_hash)
    return (changed,) if account.confirmed else (changed, AccountConfirmed(account.id))


def _invalid_link() -> Rejection:
    return Rejection("invalid_link", "The link is invalid or has expired: request a new one.")


@evolves(AccountRegisteredAgain)
def _registered_again(shop: Shop, event: AccountRegisteredAgain) -> None:
    put(shop, event.account_id, epoch=event.epoch, name=event.name, password_hash=event.password_hash)


@evolves(AccountConfirmed)
def _confirmed(shop: Shop, event: AccountConfirmed) -> None:
    put(shop, event.account_id, confirmed=True)


@evolves(RegistrationRepeated)
@evolves(PasswordResetRequested)
def _nothing_changed(shop: Shop, event: RegistrationRepeated | PasswordResetRequested) -> None:
    pass
