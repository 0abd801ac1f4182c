"""What determines the prices and taxes of a customer: the groups that price lists and promotions name, a tax id, and an
exemption from taxes. An admin verifies and sets it for an account. A guard makes sure that no checkout is completed on
an outdated state.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar
from uuid import UUID

import msgspec

from domain.accounts import Account, not_found
from domain.fields.people import TAX_ID
from domain.ids import slot_of_id
from domain.limits import CUSTOMER_MAX_GROUPS
from domain.model import Command, Context, Decision, Entity, Event, Personal, Shop, decides, evolves
from domain.orders import is_guest
from domain.quote.bounds import Word

Groups = Annotated[tuple[Word, ...], msgspec.Meta(max_length=CUSTOMER_MAX_GROUPS)]


class Customer(Entity, frozen=True):
    """The groups, tax id and tax exemption of an account's owner; `id` is the account's. The tax id of a business may
    identify a person, so it is in the row only."""

    id: UUID
    groups: tuple[str, ...]
    tax_id: Personal | None
    tax_exempt: bool

    def slot(self) -> int:
        return slot_of_id(self.id)


class SetCustomer(Command, frozen=True):
    """Replaces all fields. Groups are sorted and unique."""

    account_id: UUID
    groups: Groups = ()
    tax_id: Personal | None = None
    tax_exempt: bool = False

    def __post_init__(self) -> None:
        if self.groups != tuple(sorted(set(self.groups))):
            raise ValueError("groups are sorted, and each appears once")
        if self.tax_id is not None and not TAX_ID.keeps(self.tax_id.value):
            raise ValueError("not a tax id")

    def slot(self) -> int:
        return slot_of_id(self.account_id)


class CustomerSet(Event, frozen=True):
    """What the customer buys as now. `has_tax_id` says whether there is a tax id, which itself is in the row only."""

    type: ClassVar[str] = "customer.set"
    account_id: UUID
    groups: tuple[str, ...]
    tax_id: Personal | None
    has_tax_id: bool
    tax_exempt: bool

    def subject(self) -> str:
        return str(self.account_id)


@decides(SetCustomer)
def _set(shop: Shop, command: SetCustomer, context: Context) -> Decision:
    account = shop.of(Account).get(command.account_id)
    if account is None or account.erased:
        return not_found(command.account_id)
    has_tax_id = command.tax_id is not None
    return (CustomerSet(account.id, command.groups, command.tax_id, has_tax_id, command.tax_exempt),)


def forgotten(shop: Shop, account_id: UUID) -> Iterable[CustomerSet]:
    """The event that blanks the customer when the account is erased."""
    if account_id in shop.of(Customer):
        yield CustomerSet(account_id, (), None, has_tax_id=False, tax_exempt=False)


@evolves(CustomerSet)
def _was_set(shop: Shop, event: CustomerSet) -> None:
    shop.of(Customer)[event.account_id] = Customer(event.account_id, event.groups, event.tax_id, event.tax_exempt)


class Ordered(msgspec.Struct, frozen=True, gc=False):
    """Whether a customer has an order that was neither cancelled nor expired, so that the next one is not the first."""

    customer_id: str
    before: bool


def account_of(customer_id: str) -> UUID | None:
    """The buyer's account; None for guests, and for other principals without one."""
    if is_guest(customer_id):
        return None
    try:
        return UUID(customer_id)
    except ValueError:
        return None
