"""Payments as buyers and staff see them: how they stand, and their whole story."""

from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import Row, Select, bindparam, case, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.model import Actor
from domain.payments.entries import REQUESTS, EntryType
from domain.payments.payment import PENDING, Capture, Payment
from gateway.web.pages import Page, made_key, newest_first, page_of
from gateway.web.rawjson import as_text
from runtime.entities import table_of
from runtime.tables import orders, payments
from runtime.tables.payments import ORPHANED

PaymentStatus = Literal[
    "created", "pending", "action_required", "authorized", "charged", "refunded", "cancelled", "failed"
]


class PaymentEntryView(BaseModel):
    """One thing that was requested of the provider, or that it reported."""

    type: EntryType
    reference: str | None
    amount_minor: int
    at: datetime
    code: str
    message: str
    url: str | None


class PaymentView(BaseModel):
    """A payment. The eight amounts follow from its entries, and are in minor units; `capturable_minor` and
    `refundable_minor` are what may still be captured and refunded. `action_url` is where the buyer has to go now.
    With a `card_id`, a gift card or store credit pays. A payment is orphaned if it has money of a buyer whose order was
    cancelled or has expired, and that is not on its way back: `orphaned_since` then."""

    id: UUID
    order_id: UUID
    customer_id: str
    provider: str
    provider_reference: str | None
    card_id: UUID | None
    status: PaymentStatus
    amount_minor: int
    currency: str
    capture: Capture
    authorized_minor: int
    authorize_pending_minor: int
    charged_minor: int
    charge_pending_minor: int
    refunded_minor: int
    refund_pending_minor: int
    cancelled_minor: int
    cancel_pending_minor: int
    capturable_minor: int
    refundable_minor: int
    action_url: str | None
    orphaned_since: datetime | None
    entries: list[PaymentEntryView]
    created_at: datetime
    updated_at: datetime

    @property
    def is_unheard_of(self) -> bool:
        """Whether nobody but us has said anything about it yet."""
        return all(entry.type in REQUESTS.values() for entry in self.entries)


class PaymentsView(BaseModel):
    """The payments of one order, oldest first."""

    items: list[PaymentView]


_COLUMNS: Final = [
    as_text(column).label(column.name) if isinstance(column.type, JSONB) else column for column in payments.c
]
_IS_ORPHANED: Final = text(ORPHANED)
_PAYMENTS: Final[Select[Any]] = select(
    *_COLUMNS, case((_IS_ORPHANED, payments.c.order_ended_at)).label("orphaned_since")
)
# Whole statements: to put one together takes longer than to ask Postgres.
_ANY_ONE: Final = _PAYMENTS.where(payments.c.id == bindparam("payment_id"))
_ONE: Final = _ANY_ONE.where(payments.c.customer_id == bindparam("principal"))
_OF_PROVIDER: Final = _ANY_ONE.where(payments.c.provider == bindparam("provider"))
_NEWEST_BY_PROVIDER: Final = (
    _PAYMENTS.where(payments.c.order_id == bindparam("order_id"), payments.c.card_id.is_(None))
    .order_by(payments.c.created_at.desc(), payments.c.id.desc())
    .limit(1)
)


async def find(connection: AsyncConnection, actor: Actor, payment_id: UUID) -> PaymentView | None:
    """The payment, if there is one that `actor` may see."""
    if actor.is_staff:
        found = await connection.execute(_ANY_ONE, {"payment_id": payment_id})
    else:
        found = await connection.execute(_ONE, {"payment_id": payment_id, "principal": actor.principal})
    row = found.one_or_none()
    return None if row is None else _view(row)


async def of_order(connection: AsyncConnection, actor: Actor, order_id: UUID) -> PaymentsView | None:
    """The payments of an order that `actor` may see; None if there is none such."""
    order = select(orders.c.id).where(orders.c.id == order_id)
    if not actor.is_staff:
        order = order.where(orders.c.customer_id == actor.principal)
    if (await connection.execute(order)).one_or_none() is None:
        return None
    query = _PAYMENTS.where(payments.c.order_id == order_id).order_by(payments.c.created_at, payments.c.id)
    return PaymentsView(items=[_view(row) for row in await connection.execute(query)])


async def newest_by_provider(connection: AsyncConnection, order_id: UUID) -> PaymentView | None:
    """The newest payment of an order by a provider, if there is one."""
    row = (await connection.execute(_NEWEST_BY_PROVIDER, {"order_id": order_id})).one_or_none()
    return None if row is None else _view(row)


async def newest(
    connection: AsyncConnection,
    status: PaymentStatus | None,
    cursor: str | None,
    limit: int,
    *,
    orphaned: bool,
) -> Page[PaymentView]:
    """Payments, newest first; of those that are orphaned, or of all."""
    query = newest_first(_PAYMENTS, payments, cursor, limit)
    if status is not None:
        query = query.where(payments.c.status == status)
    if status == PENDING:
        query = query.where(payments.c.is_pending)  # they have an index
    if orphaned:
        query = query.where(_IS_ORPHANED)
    views = [_view(row) for row in await connection.execute(query)]
    return page_of(views, limit, lambda view: made_key(view.created_at, view.id))


async def named(connection: AsyncConnection, provider: str, provider_reference: str) -> UUID | None:
    """The id of the payment with this name at the provider."""
    query = select(payments.c.id).where(
        payments.c.provider == provider, payments.c.provider_reference == provider_reference
    )
    found: UUID | None = await connection.scalar(query)
    return found


async def order_of(connection: AsyncConnection, payment_id: UUID) -> UUID | None:
    """The id of the order that a payment is for."""
    found: UUID | None = await connection.scalar(select(payments.c.order_id).where(payments.c.id == payment_id))
    return found


async def of_provider(connection: AsyncConnection, payment_id: UUID, provider: str) -> Payment | None:
    """The payment, if it is one by this provider."""
    found = await connection.execute(_OF_PROVIDER, {"payment_id": payment_id, "provider": provider})
    row = found.mappings().one_or_none()
    if row is None:
        return None
    payment = table_of(Payment).read(dict(row))
    assert isinstance(payment, Payment)
    return payment


def _view(row: Row[Any]) -> PaymentView:
    said = dict(row._mapping)
    payment = table_of(Payment).read(said)
    assert isinstance(payment, Payment)
    waits, where = payment.action_required, payment.action_url
    # An entry says it only in the log of an older release.
    told = None if waits is None else waits.url if where is None else where.value
    return PaymentView.model_validate(
        {
            **{name: said[name] for name in PaymentView.model_fields if name in said},
            "capturable_minor": payment.capturable,
            "refundable_minor": payment.refundable,
            "action_url": told,
            "entries": [PaymentEntryView.model_validate(entry, from_attributes=True) for entry in payment.entries],
        }
    )
