"""The export of a person's data for that person: the account, its sessions, its checkouts, its orders with their
invoices and credit notes, and its store credit; for a guest, the checkouts and the orders."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.cards import card_key, store_credit_id
from domain.money import CURRENCIES
from domain.orders import GUEST_PREFIX

_AS_GUEST: Final = f"(a.confirmed AND {{row}}.email = a.email AND {{row}}.customer_id LIKE '{GUEST_PREFIX}%')"
"""What the person did as a guest with the address that the account has since confirmed. If other customers entered that
address, what they did remains theirs."""

_ORDER: Final = """
    json_build_object('id', o.id, 'number', o.number, 'status', o.status, 'currency', o.currency,
        'total_minor', o.total_minor, 'email', o.email, 'placed_at', o.placed_at, 'lines', (
            SELECT json_agg(json_build_object('sku', sku, 'quantity', quantity,
                'unit_price_minor', unit_price_minor) ORDER BY position)
            FROM order_lines WHERE order_id = o.id
        ), 'invoices', (
            SELECT coalesce(json_agg(json_build_object('number', i.number, 'kind', i.kind, 'issued_at', i.created_at,
                'currency', i.currency, 'total_minor', i.total_minor, 'seller', i.seller, 'lines', i.lines,
                'sums', i.sums, 'taxes', i.taxes) ORDER BY i.created_at, i.number), '[]')
            FROM invoices i WHERE i.order_id = o.id
        ))
"""

_CHECKOUT: Final = """
    json_build_object('id', c.id, 'status', c.status, 'lines', c.lines, 'email', c.email,
        'address', c.address::json, 'billing_address', c.billing_address::json,
        'tax_question', c.tax_question::json, 'rate_question', c.rate_question::json, 'codes', c.codes, 'note', c.note,
        'order_id', c.order_id, 'created_at', c.created_at, 'updated_at', c.updated_at)
"""

_EXPORT: Final = sa.text(f"""
    SELECT json_build_object(
        'account', (
            SELECT json_build_object('id', id, 'email', email, 'name', name, 'role', role, 'active', active,
                'confirmed', confirmed, 'created_at', created_at, 'updated_at', updated_at)
            FROM accounts WHERE id = :account_id
        ),
        'customer', (
            SELECT json_build_object('groups', groups, 'tax_id', tax_id, 'tax_exempt', tax_exempt)
            FROM customers WHERE id = :account_id
        ),
        'sessions', (
            SELECT coalesce(json_agg(json_build_object('id', id, 'scopes', scopes, 'created_at', created_at,
                'expires_at', expires_at, 'closed', closed) ORDER BY created_at, id), '[]')
            FROM sessions WHERE account_id = :account_id
        ),
        'checkouts', (
            SELECT coalesce(json_agg({_CHECKOUT} ORDER BY c.created_at, c.id), '[]')
            FROM checkouts c, accounts a
            WHERE a.id = :account_id AND (c.customer_id = a.id::text OR {_AS_GUEST.format(row="c")})
        ),
        'orders', (
            SELECT coalesce(json_agg({_ORDER} ORDER BY o.placed_seq), '[]')
            FROM orders o, accounts a
            WHERE a.id = :account_id AND (o.customer_id = a.id::text OR {_AS_GUEST.format(row="o")})
        ),
        'store_credit', (
            SELECT coalesce(json_agg(json_build_object('currency', c.currency, 'balance_minor', b.posted,
                'held_minor', b.pending) ORDER BY c.currency), '[]')
            FROM unnest(CAST(:currencies AS text[]), CAST(:cards AS text[])) AS c (currency, card)
            JOIN card_balances b ON b.key = c.card
        )
    )::text
    FROM accounts WHERE id = :account_id AND NOT erased
""")  # noqa: S608 - ours

_EXPORT_OF_GUEST: Final = sa.text(f"""
    SELECT json_build_object(
        'checkouts', (
            SELECT coalesce(json_agg({_CHECKOUT} ORDER BY c.created_at, c.id), '[]')
            FROM checkouts c WHERE c.customer_id = :principal
        ),
        'orders', (
            SELECT coalesce(json_agg({_ORDER} ORDER BY o.placed_seq), '[]')
            FROM orders o WHERE o.customer_id = :principal
        )
    )::text
    WHERE EXISTS (SELECT FROM orders WHERE customer_id = :principal)
        OR EXISTS (SELECT FROM checkouts WHERE customer_id = :principal)
""")  # noqa: S608 - ours


async def exported(connection: AsyncConnection, account_id: UUID) -> bytes | None:
    """The data of an account as JSON, including orders placed as a guest with its confirmed address; None if there is
    no such account."""
    currencies = sorted(CURRENCIES)
    cards = [card_key(store_credit_id(str(account_id), currency)) for currency in currencies]
    given = {"account_id": account_id, "currencies": currencies, "cards": cards}
    found: str | None = await connection.scalar(_EXPORT, given)
    return None if found is None else msgspec.json.format(found.encode(), indent=2)


async def exported_of_guest(connection: AsyncConnection, principal: str) -> bytes | None:
    """The data of a guest as JSON; None if nothing is placed yet."""
    found: str | None = await connection.scalar(_EXPORT_OF_GUEST, {"principal": principal})
    return None if found is None else msgspec.json.format(found.encode(), indent=2)


async def order_of_guest(connection: AsyncConnection, principal: str) -> UUID | None:
    """A guest's first order; None if it is not placed yet."""
    found: UUID | None = await connection.scalar(
        sa.text("SELECT id FROM orders WHERE customer_id = :principal ORDER BY placed_seq LIMIT 1"),
        {"principal": principal},
    )
    return None if found is None else UUID(int=found.int)
