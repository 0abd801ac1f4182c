"""The payments' table, which has the columns of the state in `domain/payments/payment.py`; and those that follow from
its entries, for lists: its status, what is pending and the eight amounts. A trigger on orders says when theirs came to
nothing (`order_ended_at`): no event of the payment does."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from runtime.tables.base import metadata, when

AMOUNTS = (
    "authorized_minor",
    "authorize_pending_minor",
    "charged_minor",
    "charge_pending_minor",
    "refunded_minor",
    "refund_pending_minor",
    "cancelled_minor",
    "cancel_pending_minor",
)

ORPHANED = (
    "order_ended_at IS NOT NULL AND (charged_minor > refunded_minor + refund_pending_minor"
    " OR authorized_minor > charged_minor + cancelled_minor + cancel_pending_minor)"
)
"""The condition on payments whose order came to nothing, with money of a buyer that is neither given back nor on its
way; word for word as in the index."""

payments = Table(
    "payments",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("order_id", Uuid, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("capture", Text, nullable=False),
    Column("capabilities", JSONB, nullable=False),
    Column("entries", JSONB, nullable=False),
    Column("provider_reference", Text),
    Column("card_id", Uuid),
    Column("action_url", Text),
    Column("status", Text, nullable=False),
    Column("is_pending", Boolean, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in AMOUNTS),
    when("order_ended_at", nullable=True),
    when("created_at"),
    when("updated_at"),
    Index(None, "order_id"),
    Index("payments_created", "created_at", "id"),
    Index("payments_pending", "created_at", postgresql_where="is_pending"),
    Index("payments_orphaned", "created_at", "id", postgresql_where=ORPHANED),
    Index(
        "payments_provider_reference_key",
        "provider",
        "provider_reference",
        unique=True,
        postgresql_where="provider_reference IS NOT NULL",
    ),
)
