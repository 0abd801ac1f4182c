"""Orders: place them, as a customer or a guest; see, list and move them; and what happened to them."""

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from domain.fields.catalogue import QUANTITY
from domain.ids import text_of
from domain.limits import ORDER_MAX_LINES, SKU_PATTERN
from domain.model import Actor, Wanted
from domain.orders import CancelOrder, ConfirmOrder, FulfilOrder, PlaceOrder, is_guest
from gateway.apidocs.responses import (
    IF_NONE_MATCH,
    IF_SEQ_AT_LEAST,
    NOT_MODIFIED,
    WRITE_HEADERS,
    headers,
    read,
    write,
)
from gateway.edge import edge_of
from gateway.identity import guests
from gateway.identity.caller import NOBODY, Caller, unauthenticated
from gateway.identity.requirements import require_role
from gateway.server.fastlane import fast
from gateway.views import orders as views
from gateway.views.orders import HistoryView, OrderView, PlacedView
from gateway.web import API
from gateway.web.etags import body_tag, conditional
from gateway.web.fields import EmailAddress, OrderNumber, Principal, Quantity, Sku, personal
from gateway.web.pages import Page
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.submit import ask

router = APIRouter(prefix=f"{API}/orders", tags=["orders"])

Reader = Annotated[Caller, Depends(require_role("guest", "orders:read"))]
Writer = Annotated[Caller, Depends(require_role("guest", "orders:write"))]
Anyone = Annotated[Caller, Depends(require_role("nobody", "orders:write"))]
Staff = Annotated[Caller, Depends(require_role("staff", "orders:write"))]


Status = Literal["placed", "confirmed", "fulfilled", "cancelled", "expired"]


_WRITE_HEADERS = {"parameters": WRITE_HEADERS}
_READ_HEADERS = {"parameters": [IF_SEQ_AT_LEAST]}
_FOUND: Final = read("order_not_found", "seq_not_reached")
_MOVED: Final = {200: headers("ETag"), **write("order_not_found", "order_state_conflict", "too_many_attempts")}


class LineBody(Body):
    """A SKU and a quantity."""

    sku: Sku = Field(examples=["85123A"])
    quantity: Quantity


class OrderBody(Body):
    """What to order. It costs what the catalogue and the terms say; lines with the same SKU are added up. `email` is
    where mail about this order is sent: required of guests; customers have one in their account."""

    lines: list[LineBody] = Field(
        min_length=1, max_length=ORDER_MAX_LINES, examples=[[{"sku": "LANTERN-WHITE", "quantity": 2}]]
    )
    email: EmailAddress | None = Field(None, examples=["guest@example.com"])


class PlainLine(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A SKU in its own spelling, and a quantity."""

    # Before Python's `$` there may be a line break.
    sku: Annotated[str, msgspec.Meta(pattern=SKU_PATTERN.replace("$", r"\Z"))]
    quantity: Annotated[int, msgspec.Meta(ge=QUANTITY.least, le=QUANTITY.most)]


class PlainOrder(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """An OrderBody as nearly all of them are; whatever fits this is one."""

    lines: Annotated[list[PlainLine], msgspec.Meta(min_length=1, max_length=ORDER_MAX_LINES)]
    email: None = None


_plain_orders: Final = msgspec.json.Decoder(PlainOrder)


def read_order(body: bytes) -> PlainOrder | OrderBody:
    """A plain order is read by msgspec, in a fifth of the time. Whatever else comes is for pydantic, which says what is
    wrong with it. Raises what `parse` does."""
    try:
        return _plain_orders.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return parse(OrderBody, body)


@router.post(
    "",
    status_code=201,
    response_model=PlacedView,
    responses=write(
        "checkout_incomplete",
        "insufficient_stock",
        "mixed_currencies",
        "not_on_sale",
        "order_total_exceeded",
        "overloaded",
        "too_many_attempts",
        "unknown_sku",
    ),
    openapi_extra={**body_schema(OrderBody), "parameters": WRITE_HEADERS},
)
@fast
async def place_order(request: Request, caller: Anyone) -> Response:
    """Reserves every line and places the order, or reserves nothing. 201 and the order with `Prefer: wait`.

    In a shop with taxes, price lists, promotions or purchase limits, the order costs the same as a checkout with only
    these lines set: without delivery, and taxed in the shop's own country. It then has a `quote`; and if a purchase
    limit does not allow it, it is refused as a checkout is, with a list of `requirements`.

    Without a token, an e-mail address makes it a guest's order: the response's `guest_token` is a bearer token, known
    to nobody else, with which the guest sees, confirms and cancels it. A guest who orders with it gives an address with
    each order.
    """
    edge, actor = edge_of(request), caller.actor
    body = await read_body(request, edge.config.body_max_bytes)
    order_body = read_order(body)
    quantities: dict[str, int] = {}
    for line in order_body.lines:
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
    by_guest = caller is NOBODY or is_guest(actor.principal)
    if by_guest and order_body.email is None:
        raise unauthenticated("Send an account's bearer token, or an `email` to order as a guest.")
    if caller is NOBODY:
        actor = guests.principal(request, body)
    asked = ask(request, actor, body)
    order_id = edge.submitter.new_resource_id(asked)
    if by_guest and not await edge.submitter.repeats(asked, order_id):
        await edge.throttle.guest_order(request.scope)
    lines = tuple(Wanted(sku, quantity) for sku, quantity in quantities.items())
    counted_by = await edge.buyers.identities(actor.principal, order_body.email)
    command = PlaceOrder(order_id, actor.principal, lines, personal(order_body.email), counted_by)
    accepted = await edge.submitter.submit(asked, command, text_of(order_id), deferrable=True)
    guest_token = None
    if caller is NOBODY:
        lifetime_seconds = edge.config.guest_token_seconds
        guest_token = guests.token(edge.authenticator, actor, accepted.command_id, lifetime_seconds=lifetime_seconds)
    if accepted.outcome is None:
        return accepted.response(guest_token)
    order = views.just_placed(accepted.outcome, order_body.email, guest_token)
    if order.checkout_id is not None:
        async with edge.engine.connect() as connection:
            order.quote = await views.quote_of(connection, order.id)
    said = {"Location": f"{request.scope['path']}/{order.id}", **accepted.headers()}
    return Response(order.body(), 201, said, "application/json")


@router.get("", response_model=Page[OrderView], responses=read("seq_not_reached"), openapi_extra=_READ_HEADERS)
async def list_orders(
    request: Request,
    caller: Reader,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 20,
    status: Annotated[Status | None, Query()] = None,
    customer_id: Annotated[Principal | None, Query()] = None,
    number: Annotated[OrderNumber | None, Query(description="However it is typed: `t 123` is `T-000123`.")] = None,
) -> Response:
    """Your orders, newest first; staff see everyone's, or one customer's. `limit` is capped at the maximum page
    size."""
    edge = edge_of(request)
    wanted = views.Wanted(status, customer_id, number)
    rows = min(limit, edge.config.page_max_rows)
    page = await edge.reads.read(request, lambda read: views.newest(read, caller.actor, wanted, cursor, rows))
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/{order_id}",
    response_model=OrderView,
    responses={200: headers("ETag"), **NOT_MODIFIED, **_FOUND},
    openapi_extra={"parameters": [IF_NONE_MATCH, IF_SEQ_AT_LEAST]},
)
@fast
async def get_order(request: Request, caller: Reader, order_id: UUID) -> Response:
    """One order. Other customers' orders are not found. To poll, send If-None-Match."""
    order = await edge_of(request).reads.read(request, lambda read: views.find(read, caller.actor, order_id))
    if order is None:
        raise _not_found()
    body = order.model_dump_json().encode()
    return conditional(request, body, body_tag(body), private=True)


@router.get("/{order_id}/history", response_model=HistoryView, responses=_FOUND, openapi_extra=_READ_HEADERS)
async def get_order_history(request: Request, caller: Reader, order_id: UUID) -> Response:
    """The order's events, oldest first: what happened, when, and who did it."""
    history = await edge_of(request).reads.read(request, lambda read: views.history(read, caller.actor, order_id))
    if history is None:
        raise _not_found()
    return Response(history.model_dump_json(), media_type="application/json")


@router.post("/{order_id}/confirm", response_model=OrderView, responses=_MOVED, openapi_extra=_WRITE_HEADERS)
async def confirm_order(request: Request, caller: Writer, order_id: UUID) -> Response:
    """Confirms a placed order: the reserved pieces are sold. An order from a checkout is confirmed by paying it; before
    that, only staff can confirm it. 200 and the order with `Prefer: wait`."""
    return await _move(request, caller.actor, ConfirmOrder(order_id))


@router.post("/{order_id}/fulfil", response_model=OrderView, responses=_MOVED, openapi_extra=_WRITE_HEADERS)
async def fulfil_order(request: Request, caller: Staff, order_id: UUID) -> Response:
    """Marks a confirmed order as sent. Staff only. 200 and the order with `Prefer: wait`."""
    return await _move(request, caller.actor, FulfilOrder(order_id))


@router.post("/{order_id}/cancel", response_model=OrderView, responses=_MOVED, openapi_extra=_WRITE_HEADERS)
async def cancel_order(request: Request, caller: Writer, order_id: UUID) -> Response:
    """Cancels an order that has not been sent yet and releases its pieces. 200 and the order with `Prefer: wait`."""
    return await _move(request, caller.actor, CancelOrder(order_id))


async def _move(request: Request, actor: Actor, command: ConfirmOrder | FulfilOrder | CancelOrder) -> Response:
    edge, asked = edge_of(request), ask(request, actor, b"")
    if is_guest(actor.principal) and not await edge.submitter.repeats(asked, command.order_id):
        await edge.throttle.guest_mail(request.scope)
    accepted = await edge.submitter.submit(asked, command, str(command.order_id))
    if accepted.outcome is None:
        return accepted.response()
    async with edge.engine.connect() as connection:
        order = await views.just_moved(connection, actor, command.order_id, accepted.outcome)
    assert order is not None, "an order that was moved is there"
    body = order.model_dump_json().encode()
    return Response(body, 200, {"ETag": body_tag(body), **accepted.headers()}, "application/json")


def _not_found() -> Problem:
    return Problem("order_not_found", "There is no such order.")
