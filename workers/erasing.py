"""What an erasure blanks besides the rows of accounts: addresses on orders, and dead letters that nobody could read.

It holds for what was asked for before it and is applied after it, too: an order that was on its way when its customer
was erased is placed without an address. Both write while they hold the event counter, so one of them sees the other.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import asyncpg

from domain.model import Order
from domain.orders import is_guest

_EMAILS_OF: Final = """
    SELECT coalesce(array_agg(email), '{}') FROM accounts WHERE id = ANY($1::uuid[]) AND email IS NOT NULL
"""
_ORDERS_OF: Final = "email IS NOT NULL AND (customer_id = ANY($1::text[]) OR email = ANY($2::text[]))"
_LOCK_ORDERS_OF: Final = f"SELECT FROM orders WHERE {_ORDERS_OF} ORDER BY id FOR UPDATE"
_ERASE_EMAILS: Final = f"""
    UPDATE orders SET email = NULL WHERE {_ORDERS_OF} RETURNING customer_id
"""  # noqa: S608 - ours

BLANK: Final = "entry = '', lost = '{*}'"
"""What makes nothing of a dead letter's entry that nobody could read: all of it is lost."""

# Whose command it was, its record says. Dead letters are few.
_BLANK_DEAD_LETTERS: Final = f"""
    UPDATE dead_letters d SET {BLANK} FROM commands c
    WHERE NOT d.understood AND d.entry <> '' AND c.id = d.command_id AND c.principal = ANY($1::text[])
"""  # noqa: S608 - ours

_ERASED: Final = "SELECT id::text FROM accounts WHERE id = ANY($1::uuid[]) AND erased"


class Erasure:
    """Whom a batch erases."""

    def __init__(self) -> None:
        self._accounts: list[UUID] = []
        self._guests: list[str] = []
        self._emails: list[str] = []

    def of_account(self, account_id: UUID) -> None:
        """Its orders lose the addresses on them, and so do those that guests placed with the account's."""
        self._accounts.append(account_id)

    def of_guest(self, principal: str) -> None:
        """The order's address goes with the order itself, which the batch changes."""
        self._guests.append(principal)

    async def lock(self, connection: asyncpg.Connection[Any]) -> None:
        """Locks the orders, by id, as orders always are. To be called before the accounts are written: the addresses
        themselves are about to go."""
        if self._accounts:
            self._emails = await connection.fetchval(_EMAILS_OF, self._accounts)
            await connection.execute(_LOCK_ORDERS_OF, [str(each) for each in self._accounts], self._emails)

    async def write(self, connection: asyncpg.Connection[Any]) -> None:
        """Blanks what is there, that which the batch wrote itself included."""
        principals = [*map(str, self._accounts), *self._guests]
        if self._accounts:
            changed = await connection.fetch(_ERASE_EMAILS, principals, self._emails)
            principals += {row["customer_id"] for row in changed if is_guest(row["customer_id"])}
        if principals:
            await connection.execute(_BLANK_DEAD_LETTERS, principals)


async def erased_customers(connection: asyncpg.Connection[Any], orders: Iterable[Order]) -> set[str]:
    """Those of the customers of new orders with addresses on them who are erased by now. Nothing is asked for the
    others: an account's orders seldom have an address of their own, and a guest has no account."""
    asked = {order.customer_id for order in orders if order.email is not None}
    accounts = [account_id for each in asked if (account_id := _account(each)) is not None]
    if not accounts:
        return set()
    return {row["id"] for row in await connection.fetch(_ERASED, accounts)}


def _account(principal: str) -> UUID | None:
    if is_guest(principal):
        return None
    try:
        return UUID(principal)
    except ValueError:
        return None
