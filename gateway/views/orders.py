"""Orders as the API shows them."""

import re
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Select, Text, bindparam, cast, func, literal, select, text
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from domain.model import Actor, Line
from domain.orders import (
    CANCELLED,
    CONFIRMED,
    EXPIRED,
    FULFILLED,
    PLACED,
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderFulfilled,
    OrderPlaced,
)
from domain.quote.quoted import Quote
from gateway.views.quotes import QuoteView, shown
from gateway.web.pages import Page, decode_cursor, page_of
from gateway.web.rawjson import as_text
from runtime.records import Outcome, as_of_today, moment
from runtime.tables import checkouts, events, order_lines, orders
from runtime.tables.pipeline import AFTER_PLACING

_SEQ: Final = re.compile("[0-9]{1,18}")


class LineView(BaseModel):
    """One SKU of an order. `unit_price_minor` is what the catalogue said when the order was placed."""

    sku: str
    quantity: int
    unit_price_minor: int


class OrderView(BaseModel):
    """An order. Amounts are in the minor units of `currency` (ISO 4217). `email` is the order's own, if it has one. The
    `quote` says what its total consists of; without one, it is that of its lines. It is kept in the checkout that the
    order came of, or, if it was placed without one, in a completed checkout that bears the order's id."""

    id: UUID
    customer_id: str
    status: str
    currency: str
    total_minor: int
    placed_at: datetime
    updated_at: datetime
    lines: list[LineView]
    email: str | None = None
    charges_minor: int = 0
    checkout_id: UUID | None = None
    quote: QuoteView | None = None
    number: str | None = None


class PlacedView(OrderView):
    """An order as it was placed. A guest gets the bearer token for it, which cannot be shown again."""

    guest_token: str | None = None


class Placed(msgspec.Struct, gc=False):
    """A PlacedView that only has to be written. A test holds that fields and JSON are the same; pydantic takes several
    times as long, for every order that somebody waits for."""

    id: UUID
    customer_id: str
    status: str
    currency: str
    total_minor: int
    placed_at: datetime
    updated_at: datetime
    lines: tuple[Line, ...]
    email: str | None
    charges_minor: int = 0
    checkout_id: UUID | None = None
    quote: msgspec.Raw | None = None
    number: str | None = None
    guest_token: str | msgspec.UnsetType = msgspec.UNSET

    def body(self) -> bytes:
        """As JSON; without a guest's token it has no such member."""
        return _encoder.encode(self)


class HappeningView(BaseModel):
    """One event of an order: its place in the log, what happened, when, who did it, and its data."""

    seq: int
    type: str
    at: datetime
    actor: str
    data: dict[str, Any]


class HistoryView(BaseModel):
    """The events of an order, oldest first."""

    items: list[HappeningView]


class Wanted(NamedTuple):
    """Which orders, of those one may see: all, or those of one status or one customer, or the one with this number."""

    status: str | None = None
    customer_id: str | None = None
    number: str | None = None


_encoder: Final = msgspec.json.Encoder()
_quotes: Final = msgspec.json.Decoder(Quote)
_placed_events: Final = msgspec.json.Decoder(OrderPlaced)


def just_placed(outcome: Outcome, email: str | None, guest_token: str | None = None) -> Placed:
    """The order as it was placed, from its event, which knows neither its `email` nor its quote."""
    event = _placed_events.decode(outcome.data)
    at = moment(outcome.occurred_at)
    return Placed(
        id=event.order_id,
        customer_id=event.customer_id,
        status=PLACED,
        currency=event.currency,
        total_minor=event.total_minor,
        placed_at=at,
        updated_at=at,
        lines=event.lines,
        email=email,
        charges_minor=event.charges_minor,
        checkout_id=event.checkout_id,
        number=event.number,
        guest_token=msgspec.UNSET if guest_token is None else guest_token,
    )


async def quote_of(connection: AsyncConnection, order_id: UUID) -> msgspec.Raw:
    """The quote that the order was placed at, which has one, as JSON."""
    said: Any = (await connection.execute(_QUOTE, {"order_id": order_id})).scalar_one()
    return msgspec.Raw(shown(_quotes.decode(said)).model_dump_json().encode())


_STATUS_OF: Final = {
    OrderConfirmed.type: CONFIRMED,
    OrderFulfilled.type: FULFILLED,
    OrderCancelled.type: CANCELLED,
    OrderExpired.type: EXPIRED,
}


async def just_moved(connection: AsyncConnection, actor: Actor, order_id: UUID, outcome: Outcome) -> OrderView | None:
    """The order as that event left it, without later changes, so that a repetition gets the same answer as the first
    request."""
    order = await find(connection, actor, order_id)
    if order is None:
        return None
    moved = {"status": _STATUS_OF[outcome.type], "updated_at": moment(outcome.occurred_at)}
    return order.model_copy(update=moved)


async def find(connection: AsyncConnection, actor: Actor, order_id: UUID) -> OrderView | None:
    """The order, if there is one that `actor` may see."""
    if actor.is_staff:
        found = await _read(connection, _ANY_ONE, {"order_id": order_id})
    else:
        found = await _read(connection, _ONE, {"order_id": order_id, "principal": actor.principal})
    return found[0].order if found else None


async def newest(
    connection: AsyncConnection, actor: Actor, wanted: Wanted, cursor: str | None, limit: int
) -> Page[OrderView]:
    """The wanted orders that `actor` may see, newest first: in the order of the log, so that a client which reads on to
    an order it knows has missed none."""
    query = _visible_to(actor).order_by(orders.c.placed_seq.desc()).limit(limit + 1)
    if wanted.status is not None:
        query = query.where(orders.c.status == wanted.status)
    if wanted.customer_id is not None:
        query = query.where(orders.c.customer_id == wanted.customer_id)
    if wanted.number is not None:
        query = query.where(orders.c.number == wanted.number)
    if cursor is not None:
        query = query.where(orders.c.placed_seq < decode_cursor(cursor, _seq))
    page = page_of(await _read(connection, query), limit, lambda row: str(row.placed_seq))
    return Page(items=[row.order for row in page.items], next_cursor=page.next_cursor)


def _seq(key: str) -> int:
    if not _SEQ.fullmatch(key):
        raise ValueError(f"{key!r} is no seq")
    return int(key)


async def history(connection: AsyncConnection, actor: Actor, order_id: UUID) -> HistoryView | None:
    """The events of the order, if there is one that `actor` may see. The first is found by its seq, the others by an
    index of their own: most orders have but one event, and an index over all of them would cost every order its
    place."""
    columns = select(
        events.c.seq, events.c.type, events.c.occurred_at, events.c.actor, as_text(events.c.data), events.c.version
    )
    visible = _visible_to(actor).with_only_columns(orders.c.placed_seq).where(orders.c.id == order_id)
    placed_seq = (await connection.execute(visible)).scalar()
    if placed_seq is None:
        return None
    placed = columns.where(events.c.seq == placed_seq)
    later = columns.where(text(AFTER_PLACING), events.c.subject == str(order_id))
    rows = await connection.execute(placed.union_all(later).order_by("seq"))
    return HistoryView(
        items=[
            HappeningView(
                seq=seq, type=kind, at=at, actor=actor, data=msgspec.json.decode(as_of_today(kind, version, data))
            )
            for seq, kind, at, actor, data, version in rows
        ]
    )


def _visible_to(actor: Actor) -> Select[tuple[object, ...]]:
    return _ORDERS if actor.is_staff else _ORDERS.where(orders.c.customer_id == actor.principal)


_LINES: Final = cast(
    select(
        func.json_agg(
            aggregate_order_by(
                func.json_build_object(
                    *(each for name in LineView.model_fields for each in (literal(name), order_lines.c[name]))
                ),
                order_lines.c.position,
            )
        )
    )
    .where(order_lines.c.order_id == orders.c.id)
    .scalar_subquery(),
    Text,
).label("lines")
_ORDERS: Final = select(orders, as_text(checkouts.c.quote).label("quote"), _LINES).outerjoin(
    checkouts, checkouts.c.order_id == orders.c.id
)
# Whole statements: to put one together takes longer than to ask Postgres.
_ANY_ONE: Final = _ORDERS.where(orders.c.id == bindparam("order_id"))
_ONE: Final = _ANY_ONE.where(orders.c.customer_id == bindparam("principal"))
_QUOTE: Final = select(as_text(checkouts.c.quote)).where(checkouts.c.order_id == bindparam("order_id"))
_lines: Final = TypeAdapter(list[LineView])


class _Row(NamedTuple):
    placed_seq: int
    order: OrderView


async def _read(
    connection: AsyncConnection, query: Select[tuple[object, ...]], parameters: dict[str, Any] | None = None
) -> list[_Row]:
    rows = (await connection.execute(query, parameters)).mappings().all()
    return [
        _Row(
            row["placed_seq"],
            OrderView(**{**row, "quote": _quote(row["quote"]), "lines": _lines.validate_json(row["lines"] or "[]")}),
        )
        for row in rows
    ]


def _quote(said: str | None) -> QuoteView | None:
    return None if said is None else shown(_quotes.decode(said))
