"""Erasing people: the rows that say who they are are blanked, and their sessions end. Their orders stay, with their
money, under an id that means nobody any more; the addresses on them go, also on those that they placed as guests.

What is blanked the log never knew; that it was, the log says.
"""

from typing import ClassVar
from uuid import UUID

from domain.accounts import Account, not_found, put
from domain.ids import slot_of_id
from domain.model import Command, Decision, Event, Rejection, Shop, Who, decides, evolves
from domain.roles import ADMIN


class EraseAccount(Command, frozen=True):
    account_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class AccountErased(Event, frozen=True):
    type: ClassVar[str] = "account.erased"
    account_id: UUID
    epoch: int

    def subject(self) -> str:
        return str(self.account_id)


@decides(EraseAccount)
def _erase(shop: Shop, command: EraseAccount, who: Who) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or account.erased:
        return not_found(command.account_id)
    if account.role == ADMIN and who.principal == str(account.id):
        return Rejection("own_account", "An admin is erased by another one.")
    return (AccountErased(account.id, account.epoch + 1),)


@evolves(AccountErased)
def _erased(shop: Shop, event: AccountErased) -> None:
    put(
        shop,
        event.account_id,
        email=None,
        name=None,
        password_hash=None,
        active=False,
        epoch=event.epoch,
        erased=True,
    )
