"""The events of payments. A request is in the log before the provider is asked, and the provider's reports are added
after.
"""

from typing import Any, ClassVar
from uuid import UUID

import msgspec

from domain.model import Event, Secret, Shop, evolves
from domain.payments.amounts import Change
from domain.payments.entries import Entry
from domain.payments.payment import Capabilities, Capture, Payment
from domain.tasks import NewTask, schedules


class PaymentEvent(Event, frozen=True):
    """What all events about a payment have in common."""

    payment_id: UUID
    order_id: UUID
    customer_id: str

    def subject(self) -> str:
        return str(self.payment_id)


class PaymentCreated(PaymentEvent, frozen=True):
    """An attempt to pay begins: the `entry` is its first, a request."""

    type: ClassVar[str] = "payment.created"
    provider: str
    amount_minor: int
    currency: str
    capture: Capture
    capabilities: Capabilities
    entry: Entry
    method: str | None = None
    return_url: str | None = None


class PaymentRequested(PaymentEvent, frozen=True):
    """The provider is to capture, let go or give back, as the `entry` says."""

    type: ClassVar[str] = "payment.requested"
    provider: str
    entry: Entry
    reason: str = ""


class PaymentReported(PaymentEvent, frozen=True):
    """What was new in what the provider said, and the `change` of what is charged and refunded, if any. Events of older
    releases tell no change."""

    type: ClassVar[str] = "payment.reported"
    provider: str
    entries: tuple[Entry, ...]
    provider_reference: str | None = None
    ask_in_seconds: float | None = None
    action_url: Secret | None = None
    change: Change | None = None


class PaymentUnchanged(PaymentEvent, frozen=True):
    """The provider said nothing new."""

    type: ClassVar[str] = "payment.unchanged"
    provider: str
    ask_in_seconds: float | None = None


def _about(event: PaymentCreated | PaymentRequested | PaymentReported | PaymentUnchanged) -> dict[str, Any]:
    return {"order_id": str(event.order_id), "provider": event.provider}


@schedules(PaymentCreated)
def _is_begun_at_the_provider(event: PaymentCreated) -> tuple[NewTask]:
    payload = {**_about(event), "method": event.method, "return_url": event.return_url}
    return (NewTask("create_payment", str(event.payment_id), payload),)


@schedules(PaymentRequested)
def _is_done_by_the_provider(event: PaymentRequested) -> tuple[NewTask]:
    entry = {"reference": event.entry.reference, "amount_minor": event.entry.amount_minor}
    return (NewTask("move_payment", str(event.payment_id), {**_about(event), "kind": event.entry.kind, **entry}),)


@schedules(PaymentReported)
@schedules(PaymentUnchanged)
def _is_asked_about_again(event: PaymentReported | PaymentUnchanged) -> tuple[NewTask, ...]:
    """The task has a subject of its own, so that a capture does not wait for it."""
    if event.ask_in_seconds is None:
        return ()
    payload = {**_about(event), "payment_id": str(event.payment_id), "after_seconds": event.ask_in_seconds}
    return (NewTask("ask_payment", f"ask:{event.payment_id}", payload, after_seconds=event.ask_in_seconds),)


@evolves(PaymentCreated)
def _created(shop: Shop, event: PaymentCreated) -> None:
    shop.of(Payment)[event.payment_id] = Payment(
        event.payment_id,
        event.order_id,
        event.customer_id,
        event.provider,
        event.amount_minor,
        event.currency,
        event.capture,
        event.capabilities,
        (event.entry,),
    )


@evolves(PaymentRequested)
def _requested(shop: Shop, event: PaymentRequested) -> None:
    add_entries(shop, event.payment_id, (event.entry,))


@evolves(PaymentReported)
def _reported(shop: Shop, event: PaymentReported) -> None:
    add_entries(shop, event.payment_id, event.entries, event.provider_reference, event.action_url)


@evolves(PaymentUnchanged)
def _unchanged(shop: Shop, event: PaymentUnchanged) -> None:
    pass


def add_entries(
    shop: Shop,
    payment_id: UUID,
    entries: tuple[Entry, ...],
    provider_reference: str | None = None,
    action_url: Secret | None = None,
) -> None:
    """Adds entries to the payment, if it is loaded. `action_url` is kept only while the buyer has to go there."""
    if payment := shop.of(Payment).get(payment_id):
        told = msgspec.structs.replace(
            payment,
            entries=(*payment.entries, *entries),
            provider_reference=payment.provider_reference or provider_reference,
        )
        waits_at = None if told.action_required is None else action_url or payment.action_url
        shop.of(Payment)[payment_id] = msgspec.structs.replace(told, action_url=waits_at)
