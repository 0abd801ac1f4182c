"""What commands that set a customer's groups, tax id and tax exemption are decided on."""

from domain.accounts import Account
from domain.customers import Customer, SetCustomer
from workers.handlers import reads
from workers.loading import ReadSet


@reads(SetCustomer)
def _set(command: SetCustomer, into: ReadSet) -> None:
    into.add(Account, command.account_id)
    into.add(Customer, command.account_id)
