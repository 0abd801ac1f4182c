"""Erasing people: their personal data is blanked and their sessions end. Their orders and amounts, store credit
included, stay under an id that no longer identifies anyone; the addresses on the orders go, including those that they
placed as guests.

A guest has no account; the addresses on its orders are erased. A registration that is not confirmed in time is erased
automatically, but only the account itself, since a stranger may have made it.

The log never contains what is blanked; it records that it was.
"""

from typing import ClassVar
from uuid import UUID

import msgspec

from domain.accounts import Account, not_found, put
from domain.customers import forgotten
from domain.ids import slot_of_id
from domain.model import Command, Context, Decision, Event, Rejection, Shop, decides, evolves
from domain.orders import order_of
from domain.roles import ADMIN


class EraseAccount(Command, frozen=True):
    account_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class ExpireRegistration(Command, frozen=True):
    """`epoch` is the account's when it was found unconfirmed: if the registration has been repeated since, it has a new
    link and a new deadline."""

    account_id: UUID
    epoch: int

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class EraseOrderAddress(Command, frozen=True):
    """Erases everything that is known about the order's guest: the address on this order, and on the guest's others."""

    order_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class AccountErased(Event, frozen=True):
    type: ClassVar[str] = "account.erased"
    account_id: UUID
    epoch: int

    def subject(self) -> str:
        return str(self.account_id)


class RegistrationExpired(Event, frozen=True):
    """An account that was not confirmed in time was erased."""

    type: ClassVar[str] = "account.registration_expired"
    account_id: UUID
    epoch: int

    def subject(self) -> str:
        return str(self.account_id)


class OrderAddressErased(Event, frozen=True):
    type: ClassVar[str] = "order.address_erased"
    order_id: UUID
    customer_id: str

    def subject(self) -> str:
        return str(self.order_id)


@decides(EraseAccount)
def _erase(shop: Shop, command: EraseAccount, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or account.erased:
        return not_found(command.account_id)
    if account.role == ADMIN and context.actor.principal == str(account.id):
        return Rejection("own_account", "Only another admin can erase an admin's account.")
    return (AccountErased(account.id, account.epoch + 1), *forgotten(shop, account.id))


@decides(ExpireRegistration)
def _expire(shop: Shop, command: ExpireRegistration, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or account.erased:
        return not_found(command.account_id)
    if account.confirmed or account.epoch != command.epoch:
        return Rejection("account_changed", "The account has been confirmed or registered again since.")
    return (RegistrationExpired(account.id, account.epoch + 1), *forgotten(shop, account.id))


@decides(EraseOrderAddress)
def _erase_address(shop: Shop, command: EraseOrderAddress, context: Context) -> Decision:
    order = order_of(shop, command.order_id, context)
    if isinstance(order, Rejection):
        return order
    return (OrderAddressErased(order.order_id, order.customer_id),)


@evolves(OrderAddressErased)
def _address_erased(shop: Shop, event: OrderAddressErased) -> None:
    if order := shop.orders.get(event.order_id):
        shop.orders[event.order_id] = msgspec.structs.replace(order, email=None)


@evolves(AccountErased)
@evolves(RegistrationExpired)
def _erased(shop: Shop, event: AccountErased | RegistrationExpired) -> None:
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
