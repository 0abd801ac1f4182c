"""The books as they stand in the end: the provider's, read from its own file, and ours, read from the tables and the
log. Amounts are in minor units of one currency."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import asyncpg

from tests.money.shop import CREDIT_MINOR
from tests.money.system import HostileSystem

KINDS: Final = {"authorization": "authorized", "charge": "charged", "refund": "refunded", "cancel": "cancelled"}
"""What is done with money, and what it is then."""
GONE: Final = ("cancelled", "expired")

_MOVEMENTS: Final = """
    SELECT p.reference AS payment, p.amount_minor, m.kind, m.reference, m.amount_minor
    FROM payments p JOIN movements m ON m.payment_id = p.id WHERE m.status = 'succeeded' ORDER BY m.number
"""
_ORDERS: Final = """
    SELECT o.id::text, o.customer_id, o.status, o.total_minor, o.checkout_id::text, c.order_id::text AS of_checkout,
        (c.quote->>'due_minor')::bigint AS due_minor
    FROM orders o LEFT JOIN checkouts c ON c.id = o.checkout_id
"""
_PAYMENTS: Final = """
    SELECT id::text, order_id::text, card_id::text, amount_minor, status, capture, is_pending,
        authorized_minor AS authorized, charged_minor AS charged, refunded_minor AS refunded,
        cancelled_minor AS cancelled
    FROM payments
"""
_CARDS: Final = """
    SELECT b.key, b.posted, b.pending, coalesce(g.initial_minor, $1) AS put_on
    FROM card_balances b LEFT JOIN gift_cards g ON g.id = b.key::uuid
"""
_CODES: Final = """
    SELECT a.key, a.posted, a.pending, coalesce((
        SELECT sum((take->>'amount')::bigint) FROM checkouts c JOIN orders o ON o.id = c.order_id,
            jsonb_array_elements(c.quote->'takes') take
        WHERE take->>'key' = a.key AND o.status NOT IN ('cancelled', 'expired')
    ), 0) AS taken
    FROM allowances a
"""
_ACTS: Final = """
    SELECT c.idempotency_key AS key, c.status, coalesce(sum((e.data->'entry'->>'amount_minor')::bigint), 0) AS amount
    FROM commands c LEFT JOIN events e
        ON e.command_id = c.id AND e.type IN ('payment.requested', 'payment.card_moved')
    WHERE c.principal = 'test-staff' AND c.idempotency_key IS NOT NULL AND c.status <> 'repeated'
    GROUP BY c.id, c.idempotency_key, c.status
"""
_COUNTS: Final = {
    "commands that failed": "SELECT count(*) FROM commands WHERE status = 'failed'",
    "dead letters": "SELECT count(*) FROM dead_letters",
    "dead tasks": "SELECT count(*) FROM tasks WHERE state = 'dead'",
    "tasks that are left": "SELECT count(*) FROM tasks WHERE state <> 'dead'",
    "payments that are pending": "SELECT count(*) FROM payments WHERE is_pending",
    "orders that are neither paid nor gone": "SELECT count(*) FROM orders WHERE status = 'placed'",
}


class Moved(NamedTuple):
    """Money moved at the provider."""

    payment: str
    """Our id of the payment, which is its reference there."""
    payment_minor: int
    kind: str
    reference: str
    amount_minor: int


@dataclass
class Books:
    """All of it."""

    moved: list[Moved]
    """In the order in which it happened."""
    orders: dict[str, Mapping[str, Any]]
    payments: dict[str, Mapping[str, Any]]
    cards: list[Mapping[str, Any]]
    codes: list[Mapping[str, Any]]
    acts: dict[str, list[tuple[str, int]]]
    """By key: the status of each command that it led to, and how much was asked for by it."""
    left: Counter[str]
    """What there should be none of."""

    @classmethod
    async def read(cls, system: HostileSystem, connection: asyncpg.Connection[Any]) -> Books:
        """Reads them. Nothing may change while it does."""
        acts = defaultdict(list)
        for row in await connection.fetch(_ACTS):
            acts[row["key"]].append((row["status"], int(row["amount"])))
        return cls(
            [Moved(*row) for row in system.provider_s(_MOVEMENTS)],
            _by_id(await connection.fetch(_ORDERS)),
            _by_id(await connection.fetch(_PAYMENTS)),
            await connection.fetch(_CARDS, CREDIT_MINOR),
            await connection.fetch(_CODES),
            acts,
            Counter({what: await connection.fetchval(query) for what, query in _COUNTS.items()}),
        )

    @property
    def payments_of(self) -> dict[str, list[Mapping[str, Any]]]:
        """The payments of each order."""
        found: dict[str, list[Mapping[str, Any]]] = {order_id: [] for order_id in self.orders}
        for payment in self.payments.values():
            found.setdefault(payment["order_id"], []).append(payment)
        return found


def _by_id(rows: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {row["id"]: row for row in rows}
