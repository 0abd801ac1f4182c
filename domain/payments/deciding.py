"""The rules of commands about payments, which are decided on the order and all of its payments.

An order is confirmed as soon as what is authorized or charged covers it. When it is cancelled or expires, or if money
arrives after that, what is authorized is released, and attempts that wait for their buyer are ended. What is charged
stays, and is shown to staff: nothing is refunded automatically.
"""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

import msgspec

from domain.limits import PAYMENTS_MAX_PER_ORDER
from domain.model import Context, Decision, Event, Order, Rejection, Secret, Shop, decides
from domain.orders import CANCELLED, EXPIRED, PLACED, OrderConfirmed, order_of
from domain.payments.amounts import change, verdicts
from domain.payments.by_card import CardMoved, charges, moved
from domain.payments.commands import (
    CapturePayment,
    CreatePayment,
    RefundPayment,
    ReportPayment,
    SettlePayment,
    VoidPayment,
)
from domain.payments.coverage import due, owed, secured
from domain.payments.entries import FAILURES, KINDS, REQUESTS, SUCCESSES, Entry, Kind
from domain.payments.events import PaymentCreated, PaymentReported, PaymentRequested, PaymentUnchanged
from domain.payments.payment import Payment, payments_of
from domain.payments.rules import is_requested, may_capture, may_refund, may_void, news

_NO_MORE = (CANCELLED, EXPIRED)


@decides(CreatePayment)
def _create(shop: Shop, command: CreatePayment, context: Context) -> Decision:
    order = order_of(shop, command.order_id, context)
    if isinstance(order, Rejection):
        return order
    if command.payment_id in shop.of(Payment):
        raise ValueError("a payment is created once: its id is taken")
    if order.status in _NO_MORE:
        return Rejection(
            "order_state_conflict",
            f"An order that is {order.status} can no longer be paid.",
            {"order_id": str(order.order_id), "order_status": order.status},
        )
    created = begun(command, order, payments_of(shop, order.order_id), context)
    return created if isinstance(created, Rejection) else (created,)


def begun(
    command: CreatePayment, order: Order, payments: Sequence[Payment], context: Context
) -> PaymentCreated | Rejection:
    """The event that begins a payment of what is left of an order with these existing payments, or a rejection."""
    about = {"order_id": str(order.order_id)}
    if command.capture == "manual" and not command.capabilities.manual_capture:
        return Rejection("manual_capture_unsupported", "This provider charges immediately.", about)
    if len(payments) >= PAYMENTS_MAX_PER_ORDER:
        return Rejection("too_many_payments", f"An order has at most {PAYMENTS_MAX_PER_ORDER} payments.", about)
    amount_minor = due(owed(order, payments), payments)
    if amount_minor == 0:
        for payment in payments:
            if payment.amounts.authorize_pending or payment.amounts.charge_pending:
                detail = "Another payment is pending: wait for its outcome, or void it first."
                return Rejection("payment_pending", detail, {**about, "payment_id": str(payment.id)})
        return Rejection("order_paid", "Nothing is left to pay.", about)
    kind: Kind = "charge" if command.capture == "automatic" else "authorization"
    return PaymentCreated(
        command.payment_id,
        order.order_id,
        order.customer_id,
        command.provider,
        amount_minor,
        order.currency,
        command.capture,
        command.capabilities,
        Entry(REQUESTS[kind], str(command.payment_id), amount_minor, context.at),
        command.method,
        command.return_url,
    )


@decides(CapturePayment)
def _capture(shop: Shop, command: CapturePayment, context: Context) -> Decision:
    payment = _payment_of(shop, command.payment_id)
    if isinstance(payment, Rejection):
        return payment
    refused = may_capture(payment, command.amount_minor)
    return refused or (request(payment, "charge", command.act_id, command.amount_minor, context),)


@decides(VoidPayment)
def _void(shop: Shop, command: VoidPayment, context: Context) -> Decision:
    payment = _payment_of(shop, command.payment_id)
    if isinstance(payment, Rejection):
        return payment
    return may_void(payment) or (request(payment, "cancel", command.act_id, payment.capturable, context),)


@decides(RefundPayment)
def _refund(shop: Shop, command: RefundPayment, context: Context) -> Decision:
    payment = _payment_of(shop, command.payment_id)
    if isinstance(payment, Rejection):
        return payment
    refused = may_refund(payment, command.amount_minor)
    return refused or (request(payment, "refund", command.act_id, command.amount_minor, context, command.reason),)


@decides(SettlePayment)
def _settle(shop: Shop, command: SettlePayment, context: Context) -> Decision:
    payment = _payment_of(shop, command.payment_id)
    if isinstance(payment, Rejection):
        return payment
    about = {"payment_id": str(payment.id)}
    if not payment.capabilities.staff_report:
        return Rejection("provider_reports", "The provider reports what happened, not staff.", about)
    if is_requested(payment, "cancel"):
        return Rejection("payment_busy", "It is being voided: wait for the outcome.", about)
    for kind in KINDS:
        standing = verdicts(kind, payment.entries).get(command.reference)
        if standing is not None and standing.type == REQUESTS[kind]:
            outcome = (SUCCESSES if command.succeeded else FAILURES)[kind]
            entry = Entry(outcome, command.reference, standing.amount_minor, context.at)
            return _report(shop, payment, (entry,), None, None, None, context)
    return Rejection("nothing_pending", "Nothing of this payment is pending under this reference.", about)


@decides(ReportPayment)
def _reported(shop: Shop, command: ReportPayment, context: Context) -> Decision:
    payment = _payment_of(shop, command.payment_id)
    if isinstance(payment, Rejection):
        return payment
    new = news(payment, command.entries, command.currency)
    if isinstance(new, Rejection):
        return new
    after = msgspec.structs.replace(payment, entries=(*payment.entries, *new))
    ask_in_seconds = command.ask_in_seconds if after.amounts.is_pending else None
    return _report(shop, payment, new, command.provider_reference, ask_in_seconds, command.action_url, context)


def _report(
    shop: Shop,
    payment: Payment,
    entries: tuple[Entry, ...],
    provider_reference: str | None,
    ask_in_seconds: float | None,
    action_url: Secret | None,
    context: Context,
) -> Decision:
    """The events for what is new in a report, and for what it means for the order."""
    about = (payment.id, payment.order_id, payment.customer_id, payment.provider)
    named = provider_reference if payment.provider_reference is None else None
    if not entries and named is None:
        return (PaymentUnchanged(*about, ask_in_seconds),)
    after = msgspec.structs.replace(payment, entries=(*payment.entries, *entries))
    changed = change(payment.currency, payment.entries, after.entries)
    reported = PaymentReported(*about, entries, named, ask_in_seconds, action_url, changed)
    return (reported, *_follows(shop, after, context))


def let_go(payments: Iterable[Payment], context: Context, reason: str) -> Iterator[Event]:
    """Requests that providers release what is authorized of these payments, and end attempts that wait for their
    buyer."""
    for payment in payments:
        if payment.card_id is None and may_void(payment) is None:
            yield request(payment, "cancel", _let_go_id(payment), payment.capturable, context, reason)


def _follows(shop: Shop, payment: Payment, context: Context) -> Iterator[Event]:
    order = shop.orders.get(payment.order_id)
    if order is None:
        return
    others = [each for each in payments_of(shop, order.order_id) if each.id != payment.id]
    if order.status == PLACED and secured([*others, payment]) >= order.total_minor:
        yield OrderConfirmed(order.order_id, order.customer_id, order.lines)
        yield from charges(others, context.at)
    # If the provider has refused to release something, that is left to staff.
    has_failed = any(entry.type == FAILURES["cancel"] for entry in payment.entries)
    if order.status in _NO_MORE and payment.capturable and not has_failed:
        yield from let_go([payment], context, f"order_{order.status}")


def _let_go_id(payment: Payment) -> str:
    """The reference of a release because the order has ended; it changes whenever entries are added, so that a failed
    release can be retried."""
    return f"{payment.id}:{len(payment.entries)}"


def request(
    payment: Payment, kind: Kind, act: UUID | str, amount_minor: int, context: Context, reason: str = ""
) -> PaymentRequested | CardMoved:
    """The event that requests an act from the provider; for a card's payment, the event that carries it out."""
    if payment.card_id is not None:
        return moved(payment, kind, str(act), amount_minor, context.at, reason)
    entry = Entry(REQUESTS[kind], str(act), amount_minor, context.at)
    return PaymentRequested(payment.id, payment.order_id, payment.customer_id, payment.provider, entry, reason)


def _payment_of(shop: Shop, payment_id: UUID) -> Payment | Rejection:
    payment = shop.of(Payment).get(payment_id)
    return payment or Rejection("payment_not_found", "There is no such payment.", {"payment_id": str(payment_id)})
