"""Checkouts: what somebody is about to order, what it costs, and what it lacks; and the one order that comes of it."""

from collections.abc import Iterable
from contextlib import suppress
from time import monotonic, time
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from domain.checkout_rates import RATES_PRINCIPAL, AskRates
from domain.checkout_taxes import TAXES_PRINCIPAL, AskTaxes
from domain.checkouts import (
    FIELDS,
    CancelCheckout,
    ChangeCheckout,
    CheckoutUnchanged,
    OpenCheckout,
    TakeOverCheckout,
)
from domain.completion import CompleteCheckout
from domain.limits import ORDER_MAX_TOTAL_MINOR
from domain.model import Actor
from domain.orders import is_guest
from domain.quoting import wanted_by
from domain.roles import STAFF
from gateway.apidocs.responses import IF_NONE_MATCH, NOT_MODIFIED, WRITE_HEADERS, headers, read, write
from gateway.edge import Edge, edge_of
from gateway.identity import guests
from gateway.identity.caller import NOBODY, Caller
from gateway.identity.requirements import require_role
from gateway.routes.checkout_fields import REFUSED_CODES, CheckoutBody, fields_of
from gateway.routes.payments import PaymentBody, creation, subject_of, when_heard_of
from gateway.server.fastlane import fast
from gateway.views import checkouts as views
from gateway.views import orders as order_views
from gateway.views import payments as payment_views
from gateway.views.checkouts import CheckoutView, CompletedView, OpenedView
from gateway.views.payments import PaymentView
from gateway.web import API
from gateway.web.etags import body_tag, conditional
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.happening import Awaited
from gateway.writing.settled import WAIT_SECONDS
from gateway.writing.submit import Accepted, Ask, ask

router = APIRouter(prefix=f"{API}/checkouts", tags=["checkouts"])

Reader = Annotated[Caller, Depends(require_role("guest", "orders:read"))]
Writer = Annotated[Caller, Depends(require_role("guest", "orders:write"))]
Customer = Annotated[Caller, Depends(require_role("customer", "orders:write"))]
Anyone = Annotated[Caller, Depends(require_role("nobody", "orders:write"))]

_ACTORS: Final = {AskRates: Actor.in_role(RATES_PRINCIPAL, STAFF), AskTaxes: Actor.in_role(TAXES_PRINCIPAL, STAFF)}
"""On whose behalf something is asked."""

_ASK_SECONDS: Final = 60
_SAME: Final = b"ask"
"""Whatever is asked under one key is one request: the first is asked."""

_TOKEN_MAX_CHARS: Final = 2_000

_FOUND: Final = read("checkout_not_found")
_CHANGED: Final = write("checkout_not_found", "checkout_not_open")


class TakeOverBody(Body):
    """The token of the guest whose checkout it is, and what to do with the customer's own checkout."""

    guest_token: str = Field(min_length=1, max_length=_TOKEN_MAX_CHARS, examples=["eyJhbGciOiJIUzI1NiJ9.e30.c2ln"])
    strategy: Literal["merge"] = "merge"


class CompletionBody(Body):
    """What the buyer has seen and agrees to pay, in minor units: the total, and the amount due after gift cards and
    store credit (by default, the total); and how to pay it. Without a `payment`, it is paid later; if nothing is due,
    none is needed."""

    expected_total_minor: int = Field(ge=0, le=ORDER_MAX_TOTAL_MINOR, examples=[2198])
    expected_due_minor: int | None = Field(None, ge=0, le=ORDER_MAX_TOTAL_MINOR)
    payment: PaymentBody | None = None


@router.post(
    "",
    status_code=201,
    response_model=OpenedView,
    responses={201: headers("Location"), **write(*REFUSED_CODES)},
    openapi_extra={**body_schema(CheckoutBody), "parameters": WRITE_HEADERS},
)
@fast
async def open_checkout(request: Request, caller: Anyone) -> Response:
    """Opens a checkout: a cart. Nothing is reserved yet. Without a token it is a guest's: the answer's `guest_token` is
    a bearer token for it, known to nobody else; a guest who repeats the request opens another one. Waits for the
    outcome by default."""
    edge, actor = edge_of(request), caller.actor
    body = await read_body(request, edge.config.body_max_bytes)
    fields = await fields_of(edge, request, parse(CheckoutBody, body))
    if caller is NOBODY:
        actor = guests.stranger()
    asked = ask(request, actor, body, wait_seconds=WAIT_SECONDS)
    checkout_id = edge.submitter.new_resource_id(asked)
    accepted = await edge.submitter.submit(asked, OpenCheckout(checkout_id, **fields), str(checkout_id))
    token = None
    if caller is NOBODY:
        lifetime_seconds = edge.config.guest_token_seconds
        token = guests.token(edge.authenticator, actor, accepted.command_id, lifetime_seconds=lifetime_seconds)
    if accepted.outcome is None:
        return accepted.response(token)
    checkout_id = UUID(accepted.resource)
    opened = OpenedView(**dict(await _found(edge, actor, checkout_id)), guest_token=token)
    said = {"Location": f"{router.prefix}/{checkout_id}", **accepted.headers()}
    return Response(opened.model_dump_json(), 201, said, "application/json")


@router.get(
    "/{checkout_id}",
    response_model=CheckoutView,
    responses={200: headers("ETag"), **NOT_MODIFIED, **_FOUND},
    openapi_extra={"parameters": [IF_NONE_MATCH]},
)
@fast
async def get_checkout(request: Request, caller: Reader, checkout_id: UUID) -> Response:
    """One checkout, with what it costs now and what is still missing. Other people's are not found."""
    body = (await _found(edge_of(request), caller.actor, checkout_id)).model_dump_json().encode()
    return conditional(request, body, body_tag(body), private=True)


@router.patch(
    "/{checkout_id}",
    response_model=CheckoutView,
    responses=write("checkout_not_found", "checkout_not_open", *REFUSED_CODES),
    openapi_extra={**body_schema(CheckoutBody), "parameters": WRITE_HEADERS},
)
@fast
async def change_checkout(request: Request, caller: Writer, checkout_id: UUID) -> Response:
    """Changes any fields of an open checkout (RFC 7396); lines, codes and gift cards are replaced as a whole. The
    response shows what it costs now. Waits for the outcome by default."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    command = ChangeCheckout(checkout_id, **await fields_of(edge, request, parse(CheckoutBody, body)))
    return await _written(request, caller.actor, command, body)


@router.delete(
    "/{checkout_id}",
    response_model=CheckoutView,
    responses=_CHANGED,
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def cancel_checkout(request: Request, caller: Writer, checkout_id: UUID) -> Response:
    """Cancels an open checkout; cancelling it again changes nothing. Waits for the outcome by default."""
    return await _written(request, caller.actor, CancelCheckout(checkout_id), b"")


@router.post(
    "/{checkout_id}/take-over",
    response_model=CheckoutView,
    responses=write("checkout_not_found", "checkout_not_open", "too_many_lines"),
    openapi_extra={**body_schema(TakeOverBody), "parameters": WRITE_HEADERS},
)
async def take_over_checkout(request: Request, caller: Customer, checkout_id: UUID) -> Response:
    """Makes a guest's checkout the customer's after signing in. With the strategy `merge`, the lines of the customer's
    most recently used open checkout are added to it, along with any field set there and not here; that checkout is
    cancelled. Waits for the outcome by default."""
    edge, actor = edge_of(request), caller.actor
    body = await read_body(request, edge.config.body_max_bytes)
    guest_id = _guest_of(edge, parse(TakeOverBody, body).guest_token)
    async with edge.engine.connect() as connection:
        own = await views.own(connection, actor.principal, checkout_id)
    command = TakeOverCheckout(checkout_id, guest_id=guest_id)
    if own is not None:
        comes = {name: getattr(own, name) for name in FIELDS} | {"lines": wanted_by(own)}
        command = TakeOverCheckout(checkout_id, **comes, guest_id=guest_id, own_id=own.id, own_version=own.version)
    return await _written(request, actor, command, body)


def _guest_of(edge: Edge, token: str) -> str:
    """The guest whose token it is. Raises a Problem that says no more than that there is no such checkout."""
    try:
        return edge.authenticator.verify(token).actor.principal
    except Problem:
        raise _not_found() from None


@router.post(
    "/{checkout_id}/complete",
    status_code=201,
    response_model=CompletedView,
    responses={
        200: {"model": CompletedView, "description": "It had already been completed: its order."},
        201: headers("Location"),
        **write(
            "checkout_changed",
            "checkout_incomplete",
            "checkout_not_found",
            "checkout_not_open",
            "insufficient_stock",
            "manual_capture_unsupported",
            "order_total_exceeded",
            "overloaded",
            "too_many_attempts",
            "unknown_provider",
        ),
    },
    openapi_extra={**body_schema(CompletionBody), "parameters": WRITE_HEADERS},
)
@fast
async def complete_checkout(request: Request, caller: Writer, checkout_id: UUID) -> Response:
    """Places the order, reserves its lines, holds what gift cards and store credit pay, and begins the `payment` of the
    rest; or refuses with what the checkout is missing, or what it costs now. If nothing is left to pay, the order is
    confirmed. However often this is repeated, a checkout becomes one order, with one payment: the response is that
    order and its newest payment through a provider. Waits for the outcome by default, and with `Prefer: wait` also for
    the payment provider's answer."""
    edge, actor, began = edge_of(request), caller.actor, monotonic()
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(CompletionBody, body)
    async with edge.engine.connect() as connection:
        found = await views.completion(connection, edge.quoting, actor, checkout_id)
    if found is None:
        raise _not_found()
    asked = ask(request, actor, body, wait_seconds=WAIT_SECONDS)
    if is_guest(actor.principal) and not await edge.submitter.repeats(asked, checkout_id):
        await edge.throttle.guest_order(request.scope)
    await _have_asked(edge, found.asks, found.version)
    order_id = found.order_id or edge.submitter.new_id_beside(checkout_id)
    command = CompleteCheckout(
        checkout_id,
        order_id,
        found.lines,
        said.expected_total_minor,
        found.gifts,
        found.codes,
        found.allowances,
        found.identities,
        None if said.payment is None else creation(edge, order_id, said.payment),
        said.expected_due_minor,
        found.gift_cards,
        found.store_credit,
    )
    with edge.happenings.expect(subject_of(command.begins)) as awaited:
        accepted = await edge.submitter.submit(asked, command, str(order_id), deferrable=True)
        if accepted.outcome is None:
            return accepted.response()
        return await _order(edge, actor, accepted, awaited, until=began + (accepted.applied_wait or 0))


async def _order(edge: Edge, actor: Actor, accepted: Accepted, awaited: Awaited, *, until: float) -> Response:
    """The order that a checkout has become, now or before; its provider is given time `until` then (monotonic)."""
    outcome, status = accepted.outcome, 201
    assert outcome is not None
    order_id = UUID(accepted.resource)
    if outcome.type == CheckoutUnchanged.type:
        order_id, status = UUID(msgspec.json.decode(outcome.data)["order_id"]), 200

    async def look() -> tuple[CompletedView, PaymentView | None]:
        completed = await _completed(edge, actor, order_id)
        return completed, completed.payment

    command_id = None if accepted.replayed or status == 200 else accepted.command_id
    completed = await when_heard_of(edge, look, awaited, command_id, until=until)
    said = {"Location": f"{API}/orders/{order_id}", **accepted.headers()}
    return Response(completed.model_dump_json(), status, said, "application/json")


async def _completed(edge: Edge, actor: Actor, order_id: UUID) -> CompletedView:
    async with edge.engine.connect() as connection:
        order = await order_views.find(connection, actor, order_id)
        assert order is not None, "a completed checkout has an order"
        payment = await payment_views.newest_by_provider(connection, order_id)
    return CompletedView(**dict(order), payment=payment)


async def _written(
    request: Request, actor: Actor, command: ChangeCheckout | TakeOverCheckout | CancelCheckout, body: bytes
) -> Response:
    edge = edge_of(request)
    asked = ask(request, actor, body, wait_seconds=WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, command, str(command.checkout_id))
    if accepted.outcome is None:
        return accepted.response()
    view = await _found(edge, actor, command.checkout_id)
    return Response(view.model_dump_json(), 200, accepted.headers(), "application/json")


async def _found(edge: Edge, actor: Actor, checkout_id: UUID) -> CheckoutView:
    async with edge.engine.connect() as connection:
        found = await views.find(connection, edge.quoting, actor, checkout_id)
    if found is None:
        raise _not_found()
    await _have_asked(edge, found.asks, found.view.version)
    return found.view


async def _have_asked(edge: Edge, asks: Iterable[AskRates | AskTaxes], version: int) -> None:
    """Has rates and taxes asked for that somebody has just seen to be lacking in this version of the checkout, once a
    minute, however often that is seen. What cannot be accepted now, whoever looks next has asked."""
    for each in asks:
        key = f"{each.checkout_id}:{version}:{each.ask}:{int(time()) // _ASK_SECONDS}"
        with suppress(Problem):
            await edge.submitter.submit(Ask(_ACTORS[type(each)], key, _SAME, None, False), each, str(each.checkout_id))


def _not_found() -> Problem:
    return Problem("checkout_not_found", "There is no such checkout.")
