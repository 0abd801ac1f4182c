"""The commands about payments. They all go to the order's mailbox, so that requests and reports, wherever they come
from, are decided one after another.
"""

from typing import Annotated
from uuid import UUID

import msgspec

from domain.ids import slot_of_id
from domain.limits import (
    PAYMENT_MAX_ENTRIES,
    PAYMENT_METHOD_MAX_CHARS,
    PAYMENT_REFERENCE_MAX_CHARS,
    PAYMENT_URL_MAX_CHARS,
    PROVIDER_NAME_MAX_CHARS,
    REASON_MAX_CHARS,
)
from domain.model import Command, Secret
from domain.payments.entries import Entry
from domain.payments.payment import Capabilities, Capture

Amount = Annotated[int, msgspec.Meta(ge=1)]
"""None means nothing, not everything."""


class CreatePayment(Command, frozen=True):
    """The order's owner pays what is left of it, through a provider with these `capabilities`. With a `method` (the
    provider's token for a card or an account), it is paid at once. Without one, or if the method requires another step,
    the buyer pays on the provider's page, and is sent back to `return_url` from there."""

    order_id: UUID
    payment_id: UUID
    provider: Annotated[str, msgspec.Meta(min_length=1, max_length=PROVIDER_NAME_MAX_CHARS)]
    capabilities: Capabilities
    capture: Capture = "automatic"
    method: Annotated[str, msgspec.Meta(min_length=1, max_length=PAYMENT_METHOD_MAX_CHARS)] | None = None
    return_url: Annotated[str, msgspec.Meta(max_length=PAYMENT_URL_MAX_CHARS)] | None = None

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class _AboutPayment(Command, frozen=True):
    order_id: UUID
    payment_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.order_id)


class CapturePayment(_AboutPayment, frozen=True):
    """Staff charge all or part of what is authorized. `act_id` identifies this request, here and at the provider; the
    same goes for the other commands."""

    act_id: UUID
    amount_minor: Amount


class VoidPayment(_AboutPayment, frozen=True):
    """Staff release what is authorized, or end an attempt that waits for its buyer."""

    act_id: UUID


class RefundPayment(_AboutPayment, frozen=True):
    """Staff refund all or part of what is charged, for a reason."""

    act_id: UUID
    amount_minor: Amount
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_MAX_CHARS)]


class SettlePayment(_AboutPayment, frozen=True):
    """Staff report the outcome of a pending act, where there is no provider to ask."""

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=PAYMENT_REFERENCE_MAX_CHARS)]
    succeeded: bool


class ReportPayment(_AboutPayment, frozen=True):
    """A provider's report: an answer, a webhook, or the result of asking. If something is still pending after it, the
    provider is asked again in `ask_in_seconds`. If it waits for the buyer, `action_url` is where the buyer has to
    go."""

    currency: str
    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=PAYMENT_MAX_ENTRIES)]
    provider_reference: Annotated[str, msgspec.Meta(max_length=PAYMENT_REFERENCE_MAX_CHARS)] | None = None
    ask_in_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    action_url: Secret | None = None
