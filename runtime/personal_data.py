"""The export of a person's data for that person: the account, its sessions and its orders; for a guest, the order."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

_ORDER: Final = """
    json_build_object('id', o.id, 'status', o.status, 'currency', o.currency, 'total_minor', o.total_minor,
        'email', o.email, 'placed_at', o.placed_at, 'lines', (
            SELECT json_agg(json_build_object('sku', sku, 'quantity', quantity,
                'unit_price_minor', unit_price_minor) ORDER BY position)
            FROM order_lines WHERE order_id = o.id
        ))
"""

_EXPORT: Final = sa.text(f"""
    SELECT json_build_object(
        'account', (
            SELECT json_build_object('id', id, 'email', email, 'name', name, 'role', role, 'active', active,
                'confirmed', confirmed, 'created_at', created_at, 'updated_at', updated_at)
            FROM accounts WHERE id = :account_id
        ),
        'sessions', (
            SELECT coalesce(json_agg(json_build_object('id', id, 'scopes', scopes, 'created_at', created_at,
                'expires_at', expires_at, 'closed', closed) ORDER BY created_at, id), '[]')
            FROM sessions WHERE account_id = :account_id
        ),
        'orders', (
            SELECT coalesce(json_agg({_ORDER} ORDER BY o.placed_seq), '[]')
            FROM orders o, accounts a
            WHERE a.id = :account_id AND (o.customer_id = a.id::text OR (a.confirmed AND o.email = a.email))
        )
    )::text
    FROM accounts WHERE id = :account_id AND NOT erased
""")  # noqa: S608 - ours

_EXPORT_OF_GUEST: Final = sa.text(f"""
    SELECT json_build_object('orders', json_agg({_ORDER} ORDER BY o.placed_seq))::text
    FROM orders o WHERE o.customer_id = :principal HAVING count(*) > 0
""")  # noqa: S608 - ours


async def exported(connection: AsyncConnection, account_id: UUID) -> bytes | None:
    """The data of an account as JSON, including orders placed as a guest with its confirmed address; None if there is
    no such account."""
    found: str | None = await connection.scalar(_EXPORT, {"account_id": account_id})
    return None if found is None else msgspec.json.format(found.encode(), indent=2)


async def exported_of_guest(connection: AsyncConnection, principal: str) -> bytes | None:
    """The data of a guest as JSON; None if the order is not placed yet."""
    found: str | None = await connection.scalar(_EXPORT_OF_GUEST, {"principal": principal})
    return None if found is None else msgspec.json.format(found.encode(), indent=2)


async def order_of_guest(connection: AsyncConnection, principal: str) -> UUID | None:
    """A guest's only order; None if it is not placed yet."""
    found: UUID | None = await connection.scalar(
        sa.text("SELECT id FROM orders WHERE customer_id = :principal ORDER BY placed_seq LIMIT 1"),
        {"principal": principal},
    )
    return None if found is None else UUID(int=found.int)
