"""Webhooks as staff see them: what was registered, how far each endpoint is, and what was delivered. Never a secret."""

import re
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import RowMapping, Select, Text, cast, literal, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.webhooks import ACTIVE, DELETED
from gateway.web.pages import Page, decode_cursor, page_of
from runtime.standard_webhooks import REACTION_PREFIX
from runtime.tables import event_counter, reactions, webhook_deliveries, webhooks

_PLACE = re.compile(r"[0-9]{1,18}")


class DeliveryStateView(BaseModel):
    """How far deliveries to an endpoint have come: all of its events up to the seq `position` were delivered. `lag` is
    how many events of any type the log has after that. `failures` counts the failed attempts at the event now due,
    since `failing_since`; the next attempt is at `next_attempt_at`."""

    position: int
    lag: int
    failures: int
    failing_since: datetime | None
    last_error: str | None
    next_attempt_at: datetime | None


class WebhookView(BaseModel):
    """An endpoint. `status` is active, paused (by staff) or disabled (for `disabled_reason`, such as failing for too
    long). It delivers what its `owner` may read. Until `previous_secret_until`, deliveries are also signed with the
    previous secret."""

    id: UUID
    url: str
    event_types: list[str]
    description: str
    active: bool
    status: Literal["active", "paused", "disabled"]
    disabled_reason: str | None
    owner: str | None
    previous_secret_until: datetime | None
    created_at: datetime
    updated_at: datetime
    delivery: DeliveryStateView


class WebhooksView(BaseModel):
    """All endpoints, oldest first; their number is bounded, so there are no pages."""

    items: list[WebhookView]


class SecretView(BaseModel):
    """A new secret, shown this once, in Standard Webhooks' form; null if this repeats an earlier answer."""

    id: UUID
    secret: str | None
    previous_secret_until: datetime | None


class RegisteredView(WebhookView):
    """A new endpoint, with its secret, which is shown this once; null if this repeats an earlier answer."""

    secret: str | None


class DeliveryView(BaseModel):
    """One attempt to deliver an event, number `attempt`. `status` is the HTTP status of the response, if there was one;
    `error` is why it failed; `duration_ms` is how long it took."""

    id: int
    seq: int
    event_type: str
    attempt: int
    delivered: bool
    status: int | None
    error: str | None
    duration_ms: int
    at: datetime


async def find(connection: AsyncConnection, webhook_id: UUID) -> WebhookView | None:
    """The endpoint, unless there is none."""
    row = (await connection.execute(_query().where(webhooks.c.id == webhook_id))).mappings().first()
    return None if row is None else _view(row)


async def list_all(connection: AsyncConnection) -> WebhooksView:
    """Every endpoint."""
    rows = await connection.execute(_query().order_by(webhooks.c.id))
    return WebhooksView(items=[_view(row) for row in rows.mappings()])


async def list_deliveries(
    connection: AsyncConnection, webhook_id: UUID, cursor: str | None, limit: int
) -> Page[DeliveryView]:
    """Deliveries and attempts to an endpoint, newest first."""
    columns = webhook_deliveries.c
    query = (
        select(webhook_deliveries).where(columns.webhook_id == webhook_id).order_by(columns.id.desc()).limit(limit + 1)
    )
    if cursor is not None:
        query = query.where(columns.id < decode_cursor(cursor, _place))
    rows = await connection.execute(query)
    found = [DeliveryView.model_validate(dict(row)) for row in rows.mappings()]
    return page_of(found, limit, lambda delivery: str(delivery.id))


def _query() -> Select[Any]:
    """Endpoints that are not deleted, with how far they are. The secrets stay where they are."""
    shown = [column for column in webhooks.c if column.name not in ("secret", "previous_secret")]
    how_far = [reactions.c[name] for name in ("position", "failures", "failing_since", "last_error", "due_at")]
    name = literal(REACTION_PREFIX) + cast(webhooks.c.id, Text)
    return (
        select(*shown, *how_far, event_counter.c.last_seq)
        .select_from(webhooks)
        .join(event_counter, true())
        .outerjoin(reactions, reactions.c.name == name)
        .where(webhooks.c.status != DELETED)
    )


def _view(row: RowMapping) -> WebhookView:
    # Until a background process has heard of it, an endpoint is where the log is.
    position = row["last_seq"] if row["position"] is None else row["position"]
    return WebhookView(
        **{name: row[name] for name in WebhookView.model_fields if name in row},
        active=row["status"] == ACTIVE,
        delivery=DeliveryStateView(
            position=position,
            lag=row["last_seq"] - position,
            failures=row["failures"] or 0,
            failing_since=row["failing_since"],
            last_error=row["last_error"],
            next_attempt_at=row["due_at"] if row["failures"] else None,
        ),
    )


def _place(key: str) -> int:
    if not _PLACE.fullmatch(key):
        raise ValueError(f"{key!r} is no place in the log of deliveries")
    return int(key)
