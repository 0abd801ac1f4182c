"""What is asked for about payments. All commands about a payment go to its order's mailbox: what is requested, by
whomever, and what is reported, by whatever way, is decided one after another.
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
    """Whoever owns the order pays what is left of it, by way of a provider that can do so much. With a `method`, a
    token of the provider's for a card or an account, at once; otherwise, or if the method takes another step, where
    the provider says, from where the buyer returns to `return_url`."""

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
    """Staff have a part or all of what is authorized charged. `act_id` names this request, here and at the provider;
    likewise in the other commands."""

    act_id: UUID
    amount_minor: Amount


class VoidPayment(_AboutPayment, frozen=True):
    """Staff have what is authorized let go, or end an attempt that waits for its buyer."""

    act_id: UUID


class RefundPayment(_AboutPayment, frozen=True):
    """Staff have a part or all of what is charged given back, for a reason."""

    act_id: UUID
    amount_minor: Amount
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_MAX_CHARS)]


class SettlePayment(_AboutPayment, frozen=True):
    """Staff say what came of an act that is pending, where there is no provider to ask."""

    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=PAYMENT_REFERENCE_MAX_CHARS)]
    succeeded: bool


class ReportPayment(_AboutPayment, frozen=True):
    """What a provider said: as an answer, in a webhook, or when it was asked. If something is still pending after that,
    it is asked again in `ask_in_seconds`. If it waits for the buyer, `action_url` is where the buyer has to go."""

    currency: str
    entries: Annotated[tuple[Entry, ...], msgspec.Meta(max_length=PAYMENT_MAX_ENTRIES)]
    provider_reference: Annotated[str, msgspec.Meta(max_length=PAYMENT_REFERENCE_MAX_CHARS)] | None = None
    ask_in_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None
    action_url: Secret | None = None
