"""Payments: an order's owner pays it; staff capture, let go and give back."""

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Annotated, Final, TypeVar
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from domain.limits import (
    ORDER_MAX_TOTAL_MINOR,
    PAYMENT_METHOD_MAX_CHARS,
    PAYMENT_REFERENCE_MAX_CHARS,
    PROVIDER_NAME_MAX_CHARS,
)
from domain.model import Actor, Command
from domain.payments.commands import CapturePayment, CreatePayment, RefundPayment, SettlePayment, VoidPayment
from domain.payments.payment import Capture
from domain.payments.refunding import CARDS_FIRST, RefundOrder, RefundRule
from gateway.apidocs.responses import WRITE_HEADERS, headers, read, write
from gateway.edge import Edge, edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import payments as views
from gateway.views.payments import PaymentStatus, PaymentsView, PaymentView
from gateway.web import API
from gateway.web.fields import Reason, Url
from gateway.web.pages import Page
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.happening import Awaited
from gateway.writing.settled import WAIT_SECONDS
from gateway.writing.submit import Ask, ask
from runtime.payments.registry import UnknownProvider

router = APIRouter(prefix=API, tags=["payments"])

Reader = Annotated[Caller, Depends(require_role("guest", "orders:read"))]
Writer = Annotated[Caller, Depends(require_role("guest", "orders:write"))]
StaffReader = Annotated[Caller, Depends(require_role("staff", "orders:read"))]
StaffWriter = Annotated[Caller, Depends(require_role("staff", "orders:write"))]

_Shown = TypeVar("_Shown")

_VISIBLE: Final = r"^[!-~]+$"
_MOVED: Final = write("payment_not_found", "payment_busy", "payment_entries_exceeded")


class PaymentBody(Body):
    """How to pay an order: through which provider, and with which `method`, the provider's token for a card or an
    account. Without a `method`, the response's `action_url` is where the buyer pays, once the provider has given it."""

    provider: str = Field(min_length=1, max_length=PROVIDER_NAME_MAX_CHARS, examples=["sandbox"])
    method: str | None = Field(None, max_length=PAYMENT_METHOD_MAX_CHARS, pattern=_VISIBLE, examples=["card"])
    return_url: Url | None = None
    capture: Capture = "automatic"


class AmountBody(Body):
    """An amount in minor units of the payment's currency."""

    amount_minor: int = Field(ge=1, le=ORDER_MAX_TOTAL_MINOR, examples=[416])


class RefundBody(Body):
    """How much to refund, in minor units of the payment's currency, and why."""

    amount_minor: int = Field(ge=1, le=ORDER_MAX_TOTAL_MINOR, examples=[416])
    reason: Reason = Field(examples=["Broken"])


class OrderRefundBody(RefundBody):
    """How much of an order to refund, in minor units of its currency, why, and what is refunded first."""

    rule: RefundRule = CARDS_FIRST


class SettlementBody(Body):
    """The outcome of a pending request, where there is no provider to ask."""

    reference: str = Field(
        min_length=1,
        max_length=PAYMENT_REFERENCE_MAX_CHARS,
        pattern=_VISIBLE,
        examples=["01a203dc-fb6e-7f19-b198-be458dd22687"],
    )
    succeeded: bool = Field(examples=[True])


@router.post(
    "/orders/{order_id}/payments",
    status_code=201,
    response_model=PaymentView,
    responses={
        201: headers("Location"),
        **write(
            "manual_capture_unsupported",
            "order_not_found",
            "order_paid",
            "order_state_conflict",
            "payment_pending",
            "too_many_payments",
            "unknown_provider",
        ),
    },
    openapi_extra={**body_schema(PaymentBody), "parameters": WRITE_HEADERS},
)
async def create_payment(request: Request, caller: Writer, order_id: UUID) -> Response:
    """Pays the amount due for an order. The provider is called in the background; the payment's `status` shows the
    outcome. After a decline, another payment can be made while the order's pieces are held. Waits for the command's
    outcome by default, and with `Prefer: wait` also for the provider's answer."""
    edge, began = edge_of(request), monotonic()
    body = await read_body(request, edge.config.body_max_bytes)
    command = creation(edge, order_id, parse(PaymentBody, body))
    with edge.happenings.expect(subject_of(command)) as awaited:
        accepted = await edge.submitter.submit(_asked(request, caller.actor, body), command, str(command.payment_id))
        if accepted.outcome is None:
            return accepted.response()
        payment_id, until = UUID(accepted.resource), began + (accepted.applied_wait or 0)

        async def look() -> tuple[PaymentView, PaymentView]:
            view = await _found(edge, caller.actor, payment_id)
            return view, view

        view = await when_heard_of(edge, look, awaited, None if accepted.replayed else accepted.command_id, until=until)
    told = {"Location": f"{API}/payments/{view.id}", **accepted.headers()}
    return Response(view.model_dump_json(), 201, told, "application/json")


@router.get("/orders/{order_id}/payments", response_model=PaymentsView, responses=read("order_not_found"))
async def list_order_payments(request: Request, caller: Reader, order_id: UUID) -> Response:
    """All payments of one order, oldest first."""
    async with edge_of(request).engine.connect() as connection:
        found = await views.of_order(connection, caller.actor, order_id)
    if found is None:
        raise Problem("order_not_found", "There is no such order.")
    return Response(found.model_dump_json(), media_type="application/json")


@router.post(
    "/orders/{order_id}/refund",
    response_model=PaymentsView,
    responses=write("order_not_found", "partial_refund_unsupported", "payment_entries_exceeded", "refund_exceeds_paid"),
    openapi_extra={**body_schema(OrderRefundBody), "parameters": WRITE_HEADERS},
)
async def refund_order(request: Request, caller: StaffWriter, order_id: UUID) -> Response:
    """Refunds part or all of what was paid for an order, whatever it was paid with: `rule` says whether gift cards and
    store credit are refunded first or last. Staff only."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(OrderRefundBody, body)
    act_id = edge.submitter.new_id_beside(order_id)
    command = RefundOrder(order_id, act_id, said.amount_minor, said.reason, said.rule)
    accepted = await edge.submitter.submit(_asked(request, caller.actor, body), command, str(order_id))
    if accepted.outcome is None:
        return accepted.response()
    async with edge.engine.connect() as connection:
        found = await views.of_order(connection, caller.actor, order_id)
    assert found is not None, "an order whose money goes back is there"
    return Response(found.model_dump_json(), 200, accepted.headers(), "application/json")


@router.get("/payments", response_model=Page[PaymentView], responses=read())
async def list_payments(
    request: Request,
    caller: StaffReader,
    status: Annotated[PaymentStatus | None, Query(description="Only payments with this status.")] = None,
    orphaned: Annotated[
        bool,
        Query(
            description="Only those whose order was cancelled or has expired, and that have charged money which is not"
            " refunded, or authorized money which is not let go; nor is it on its way."
        ),
    ] = False,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 50,
) -> Response:
    """Payments, newest first. `limit` is capped at the maximum page size."""
    edge = edge_of(request)
    rows = min(limit, edge.config.page_max_rows)
    async with edge.engine.connect() as connection:
        page = await views.newest(connection, status, cursor, rows, orphaned=orphaned)
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/payments/{payment_id}", response_model=PaymentView, responses=read("payment_not_found"))
async def get_payment(request: Request, caller: Reader, payment_id: UUID) -> Response:
    """One payment with its history. Other people's are not found."""
    view = await _found(edge_of(request), caller.actor, payment_id)
    return Response(view.model_dump_json(), media_type="application/json")


@router.post(
    "/payments/{payment_id}/capture",
    response_model=PaymentView,
    responses={
        **_MOVED,
        **write(
            "capture_exceeds_authorized",
            "multi_capture_unsupported",
            "partial_capture_unsupported",
            "payment_entries_exceeded",
            "payment_not_found",
        ),
    },
    openapi_extra={**body_schema(AmountBody), "parameters": WRITE_HEADERS},
)
async def capture_payment(request: Request, caller: StaffWriter, payment_id: UUID) -> Response:
    """Captures part or all of the authorized amount. Staff only."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    amount_minor = parse(AmountBody, body).amount_minor
    order_id, act_id = await _order_of(edge, payment_id), edge.submitter.new_id_beside(payment_id)
    command = CapturePayment(order_id, payment_id, act_id, amount_minor)
    return await _moved(edge, _asked(request, caller.actor, body), command, payment_id)


@router.post(
    "/payments/{payment_id}/void",
    response_model=PaymentView,
    responses={**_MOVED, **write("nothing_to_void", "payment_busy", "payment_entries_exceeded", "payment_not_found")},
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def void_payment(request: Request, caller: StaffWriter, payment_id: UUID) -> Response:
    """Voids the authorized amount that has not been captured, or ends an attempt that is waiting for its buyer. Staff
    only."""
    edge = edge_of(request)
    order_id, act_id = await _order_of(edge, payment_id), edge.submitter.new_id_beside(payment_id)
    command = VoidPayment(order_id, payment_id, act_id)
    return await _moved(edge, _asked(request, caller.actor, b""), command, payment_id)


@router.post(
    "/payments/{payment_id}/refund",
    response_model=PaymentView,
    responses={
        **_MOVED,
        **write(
            "partial_refund_unsupported", "payment_entries_exceeded", "payment_not_found", "refund_exceeds_charged"
        ),
    },
    openapi_extra={**body_schema(RefundBody), "parameters": WRITE_HEADERS},
)
async def refund_payment(request: Request, caller: StaffWriter, payment_id: UUID) -> Response:
    """Refunds part or all of the charged amount. Staff only."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(RefundBody, body)
    order_id, act_id = await _order_of(edge, payment_id), edge.submitter.new_id_beside(payment_id)
    command = RefundPayment(order_id, payment_id, act_id, said.amount_minor, said.reason)
    return await _moved(edge, _asked(request, caller.actor, body), command, payment_id)


@router.post(
    "/payments/{payment_id}/settle",
    response_model=PaymentView,
    responses=write("nothing_pending", "payment_busy", "payment_not_found", "provider_reports"),
    openapi_extra={**body_schema(SettlementBody), "parameters": WRITE_HEADERS},
)
async def settle_payment(request: Request, caller: StaffWriter, payment_id: UUID) -> Response:
    """Records the outcome of an invoice payment, or of its refund, that is pending under a reference. Staff only."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(SettlementBody, body)
    command = SettlePayment(await _order_of(edge, payment_id), payment_id, said.reference, said.succeeded)
    return await _moved(edge, _asked(request, caller.actor, body), command, payment_id)


def creation(edge: Edge, order_id: UUID, said: PaymentBody) -> CreatePayment:
    """The command that begins a payment. Raises the Problem of a provider that there is not."""
    try:
        provider = edge.payments[said.provider]
    except UnknownProvider:
        raise Problem("unknown_provider", "No payment provider has this name.") from None
    payment_id = edge.submitter.new_id_beside(order_id)
    return CreatePayment(
        order_id, payment_id, provider.name, provider.capabilities, said.capture, said.method, said.return_url
    )


def subject_of(command: CreatePayment | None) -> str | None:
    """The subject of what the provider will say of the payment; None if it says nothing by itself."""
    return None if command is None or command.capabilities.staff_report else str(command.payment_id)


async def when_heard_of(
    edge: Edge,
    look: Callable[[], Awaitable[tuple[_Shown, PaymentView | None]]],
    awaited: Awaited,
    command_id: UUID | None,
    *,
    until: float,
) -> _Shown:
    """What `look` returns, beside its payment, once the provider has said something about that, or at `until`
    (monotonic). The payment that is `awaited` began with this command; None if it had begun before."""
    shown: _Shown | None = None
    payment: PaymentView | None = None

    async def is_heard_of() -> bool:
        nonlocal shown, payment
        shown, payment = await look()
        return payment is None or not payment.is_unheard_of or not _speaks(edge, payment.provider)

    if command_id is not None:
        await awaited.wait(is_heard_of, known=command_id, until=until)
    if shown is None and not await is_heard_of() and command_id is None and payment is not None:
        with edge.happenings.expect(str(payment.id)) as begun_before:
            await begun_before.wait(is_heard_of, known=None, until=until)
    assert shown is not None
    return shown


def _speaks(edge: Edge, provider: str) -> bool:
    """Whether the provider says by itself what comes of a payment."""
    try:
        return not edge.payments[provider].capabilities.staff_report
    except UnknownProvider:
        return False


async def _moved(edge: Edge, asked: Ask, command: Command, payment_id: UUID) -> Response:
    accepted = await edge.submitter.submit(asked, command, str(payment_id))
    if accepted.outcome is None:
        return accepted.response()
    view = await _found(edge, asked.actor, payment_id)
    return Response(view.model_dump_json(), 200, accepted.headers(), "application/json")


def _asked(request: Request, actor: Actor, body: bytes) -> Ask:
    return ask(request, actor, body, wait_seconds=WAIT_SECONDS)


async def _order_of(edge: Edge, payment_id: UUID) -> UUID:
    async with edge.engine.connect() as connection:
        order_id = await views.order_of(connection, payment_id)
    if order_id is None:
        raise _not_found()
    return order_id


async def _found(edge: Edge, actor: Actor, payment_id: UUID) -> PaymentView:
    async with edge.engine.connect() as connection:
        view = await views.find(connection, actor, payment_id)
    if view is None:
        raise _not_found()
    return view


def _not_found() -> Problem:
    return Problem("payment_not_found", "There is no such payment.")
