"""Accounts: people who sign in, with an e-mail address that is normalized and never changes.

`epoch` increases with every change that must invalidate earlier sessions and tokens: a new password, a new role,
deactivation, erasure. The gateway checks who may issue these commands; these rules keep people from removing their own
rights.
"""

from typing import Any, ClassVar
from uuid import UUID

import msgspec

from domain.fields.people import EMAIL
from domain.ids import slot_of_id
from domain.limits import ACCOUNT_NAME_MAX_CHARS
from domain.model import Command, Context, Decision, Entity, Event, Personal, Rejection, Secret, Shop, decides, evolves
from domain.roles import ACCOUNT_ROLES


class Account(Entity, frozen=True):
    """An account. Its personal data and password hash are not in the log, so folding the log restores neither. Signing
    in requires a `confirmed` address and, in production, an account that was not created in `development`."""

    id: UUID
    email: Personal | None
    name: Personal | None
    role: str
    active: bool
    epoch: int
    password_hash: Secret | None
    development: bool = False
    confirmed: bool = True
    erased: bool = False

    def slot(self) -> int:
        return slot_of_id(self.id)


def check_name(name: Personal) -> None:
    """Raises ValueError for an invalid account name."""
    if not 1 <= len(name.value) <= ACCOUNT_NAME_MAX_CHARS:
        raise ValueError("not a valid account name")


class CreateAccount(Command, frozen=True):
    """`confirmed`: whether a trusted caller vouches for the address."""

    account_id: UUID
    email: Personal
    name: Personal
    role: str
    password_hash: Secret
    confirmed: bool = True

    def __post_init__(self) -> None:
        if not EMAIL.keeps(self.email.value):
            raise ValueError("not a normalized e-mail address")
        check_name(self.name)
        if self.role not in ACCOUNT_ROLES:
            raise ValueError(f"{self.role!r} is not a role for an account")

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class ChangeAccount(Command, frozen=True):
    """A field that is None stays as it is."""

    account_id: UUID
    name: Personal | None = None
    role: str | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name)
        if self.role is not None and self.role not in ACCOUNT_ROLES:
            raise ValueError(f"{self.role!r} is not a role for an account")

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class DeactivateAccount(Command, frozen=True):
    account_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class ReactivateAccount(Command, frozen=True):
    account_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class AccountCreated(Event, frozen=True):
    type: ClassVar[str] = "account.created"
    account_id: UUID
    email: Personal | None
    name: Personal | None
    role: str
    password_hash: Secret | None
    development: bool = False
    confirmed: bool = True

    def subject(self) -> str:
        return str(self.account_id)


class AccountChanged(Event, frozen=True):
    """The account as it is now."""

    type: ClassVar[str] = "account.changed"
    account_id: UUID
    name: Personal | None
    role: str
    epoch: int

    def subject(self) -> str:
        return str(self.account_id)


class AccountDeactivated(Event, frozen=True):
    type: ClassVar[str] = "account.deactivated"
    account_id: UUID
    epoch: int

    def subject(self) -> str:
        return str(self.account_id)


class AccountReactivated(Event, frozen=True):
    type: ClassVar[str] = "account.reactivated"
    account_id: UUID

    def subject(self) -> str:
        return str(self.account_id)


@decides(CreateAccount)
def _create(shop: Shop, command: CreateAccount, context: Context) -> Decision:
    if any(account.email == command.email for account in shop.of(Account).values()):
        return Rejection("email_taken", "An account with this e-mail address already exists.")
    created = AccountCreated(
        command.account_id,
        command.email,
        command.name,
        command.role,
        command.password_hash,
        context.actor.development,
        command.confirmed,
    )
    return (created,)


@decides(ChangeAccount)
def _change(shop: Shop, command: ChangeAccount, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or account.erased:
        return not_found(command.account_id)
    name, role = command.name or account.name, command.role or account.role
    if role != account.role and _is_own(account, context):
        return Rejection("own_account", "You cannot change the role of your own account.")
    epoch = account.epoch + (role != account.role)
    return (AccountChanged(account.id, name, role, epoch),)


@decides(DeactivateAccount)
def _deactivate(shop: Shop, command: DeactivateAccount, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None:
        return not_found(command.account_id)
    if _is_own(account, context):
        return Rejection("own_account", "You cannot deactivate your own account.")
    if not account.active:
        return Rejection("account_state_conflict", "The account is not active.", {"active": False})
    return (AccountDeactivated(account.id, account.epoch + 1),)


@decides(ReactivateAccount)
def _reactivate(shop: Shop, command: ReactivateAccount, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or account.erased:
        return not_found(command.account_id)
    if account.active:
        return Rejection("account_state_conflict", "The account is already active.", {"active": True})
    return (AccountReactivated(account.id),)


def _is_own(account: Account, context: Context) -> bool:
    return context.actor.principal == str(account.id)


def not_found(account_id: UUID) -> Rejection:
    """The rejection of a command about an account that does not exist."""
    return Rejection("account_not_found", "There is no such account.", {"account_id": str(account_id)})


@evolves(AccountCreated)
def _created(shop: Shop, event: AccountCreated) -> None:
    shop.of(Account)[event.account_id] = Account(
        event.account_id,
        event.email,
        event.name,
        event.role,
        True,
        0,
        event.password_hash,
        event.development,
        event.confirmed,
    )


@evolves(AccountChanged)
def _changed(shop: Shop, event: AccountChanged) -> None:
    put(shop, event.account_id, name=event.name, role=event.role, epoch=event.epoch)


@evolves(AccountDeactivated)
def _deactivated(shop: Shop, event: AccountDeactivated) -> None:
    put(shop, event.account_id, active=False, epoch=event.epoch)


@evolves(AccountReactivated)
def _reactivated(shop: Shop, event: AccountReactivated) -> None:
    put(shop, event.account_id, active=True)


def put(shop: Shop, account_id: UUID, **changes: Any) -> None:
    """Changes the account, if it is loaded."""
    accounts = shop.of(Account)
    if account_id in accounts:
        accounts[account_id] = msgspec.structs.replace(accounts[account_id], **changes)
