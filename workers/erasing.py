"""What an erasure blanks besides accounts: what people wrote in checkouts, the addresses on orders, and unreadable dead
letters.

It also covers commands accepted before the erasure and applied after it: an order or a checkout that is still in a
mailbox when its customer is erased is written without an address. Both write while they hold the event counter, so the
later one sees the earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.checkout_rates import RATES_PRINCIPAL
from domain.checkout_taxes import TAXES_PRINCIPAL
from domain.checkouts import Checkout
from domain.customers import account_of
from domain.model import Order, holds_private
from domain.orders import GUEST_PREFIX, is_guest

_EMAILS_OF: Final = """
    SELECT coalesce(array_agg(email), '{}') FROM accounts WHERE id = ANY($1::uuid[]) AND email IS NOT NULL
"""
_ORDERS_OF: Final = "email IS NOT NULL AND (customer_id = ANY($1::text[]) OR email = ANY($2::text[]))"
_LOCK_ORDERS_OF: Final = f"SELECT FROM orders WHERE {_ORDERS_OF} ORDER BY id FOR UPDATE"
_ERASE_EMAILS: Final = f"""
    UPDATE orders SET email = NULL WHERE {_ORDERS_OF} RETURNING customer_id
"""  # noqa: S608 - ours

# If a guest's checkout has the address, all that the guest entered there is the erased person's. If another customer's
# checkout has it, only the address is blanked.
_CHECKOUTS_OF: Final = f"""
    (customer_id = ANY($1::text[]) OR (email = ANY($2::text[]) AND customer_id LIKE '{GUEST_PREFIX}%'))
    AND num_nonnulls(email, address, billing_address, note, tax_question, rate_question) > 0
"""
_BLANK_CHECKOUT: Final = """
    email = NULL, address = NULL, billing_address = NULL, note = NULL, tax_question = NULL, rate_question = NULL
"""
LOCK_CHECKOUTS_OF: Final = f"""
    SELECT FROM checkouts WHERE {_CHECKOUTS_OF} OR email = ANY($2::text[]) ORDER BY id FOR UPDATE
"""
ERASE_CHECKOUTS: Final = f"UPDATE checkouts SET {_BLANK_CHECKOUT} WHERE {_CHECKOUTS_OF}"  # noqa: S608 - ours
ERASE_EMAILS_OF_CHECKOUTS: Final = "UPDATE checkouts SET email = NULL WHERE email = ANY($1::text[])"
_ERASE_WRITTEN: Final = f"""
    UPDATE checkouts c SET {_BLANK_CHECKOUT} FROM accounts a
    WHERE c.id = ANY($1::uuid[]) AND a.id = ANY($2::uuid[]) AND c.customer_id = a.id::text AND a.erased
"""  # noqa: S608 - ours

BLANK: Final = "entry = '', lost = '{*}'"
"""Blanks the entry of an unreadable dead letter: all of it is lost."""

# The command's record says whose it was. Dead letters are few.
_BLANK_DEAD_LETTERS: Final = f"""
    UPDATE dead_letters d SET {BLANK} FROM commands c
    WHERE NOT d.understood AND d.entry <> '' AND c.id = d.command_id AND c.principal = ANY($1::text[])
"""  # noqa: S608 - ours

_ERASED: Final = "SELECT id::text FROM accounts WHERE id = ANY($1::uuid[]) AND erased"


class Erasure:
    """The people that a batch erases."""

    def __init__(self) -> None:
        self._accounts: list[UUID] = []
        self._guests: list[str] = []
        self._emails: list[str] = []

    def __bool__(self) -> bool:
        """Whether there is anybody to erase."""
        return bool(self._accounts or self._guests)

    def of_account(self, account_id: UUID) -> None:
        """Adds an account: its orders and checkouts lose their addresses, and so do those of guests who gave its
        address. Where other customers entered that address, only the address is removed."""
        self._accounts.append(account_id)

    def of_guest(self, principal: str) -> None:
        """Adds a guest: all its orders lose their addresses, not only the one that the command names."""
        self._guests.append(principal)

    async def lock(self, connection: asyncpg.Connection[Any]) -> None:
        """Locks the orders, then the checkouts, each in order of id (the lock order). Call it before the accounts are
        written: that blanks the addresses by which these are found."""
        if self._accounts:
            self._emails = await connection.fetchval(_EMAILS_OF, self._accounts)
        if self:
            await connection.execute(_LOCK_ORDERS_OF, self._principals, self._emails)
            await connection.execute(LOCK_CHECKOUTS_OF, self._principals, self._emails)

    @property
    def _principals(self) -> list[str]:
        return [*map(str, self._accounts), *self._guests]

    async def write(self, connection: asyncpg.Connection[Any]) -> None:
        """Blanks the data, including what the batch itself wrote."""
        if not self:
            return
        principals = self._principals
        await connection.execute(ERASE_CHECKOUTS, principals, self._emails)
        if self._emails:
            await connection.execute(ERASE_EMAILS_OF_CHECKOUTS, self._emails)
        changed = await connection.fetch(_ERASE_EMAILS, principals, self._emails)
        principals += {row["customer_id"] for row in changed if is_guest(row["customer_id"])}
        # An unreadable question about taxes or rates may be about anyone; it is asked again when the checkout is next
        # read.
        await connection.execute(_BLANK_DEAD_LETTERS, [*principals, TAXES_PRINCIPAL, RATES_PRINCIPAL])


async def erase_written(connection: asyncpg.Connection[Any], checkouts: Iterable[Checkout]) -> None:
    """Blanks those of the newly written checkouts whose owners have been erased."""
    with_address, owners = _with_address(checkouts)
    if owners:
        await connection.execute(_ERASE_WRITTEN, [each.id for each in with_address], list(owners))


async def are_of_erased(connection: asyncpg.Connection[Any], checkouts: Iterable[Checkout]) -> bool:
    """Whether one of the checkouts has to be blanked once it is written."""
    _, owners = _with_address(checkouts)
    return bool(owners) and bool(await connection.fetch(_ERASED, list(owners)))


def _with_address(checkouts: Iterable[Checkout]) -> tuple[list[Checkout], set[UUID]]:
    """The checkouts that hold personal data, and the accounts that own them."""
    with_address = [checkout for checkout in checkouts if holds_private(checkout)]
    return with_address, {owner for each in with_address if (owner := account_of(each.customer_id)) is not None}


async def erased_customers(connection: asyncpg.Connection[Any], orders: Iterable[Order]) -> set[str]:
    """The customers who have been erased, of those whose new orders have an address. This seldom takes a query: an
    account's orders rarely have an address of their own, and a guest has no account."""
    asked = {order.customer_id for order in orders if order.email is not None}
    accounts = [account_id for each in asked if (account_id := account_of(each)) is not None]
    if not accounts:
        return set()
    return {row["id"] for row in await connection.fetch(_ERASED, accounts)}
