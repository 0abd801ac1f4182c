"""The JSON messages between the sandbox and its client (see `ops/sandbox`)."""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from domain.payments.payment import Capture

WEBHOOK_TYPE: Final = "payment.moved"
KEY_HEADER: Final = "Idempotency-Key"

_Reference = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Amount = Annotated[int, msgspec.Meta(ge=1)]

MovementKind = Literal["authorization", "charge", "refund", "cancel", "charge_back"]
MovementStatus = Literal["succeeded", "failed", "declined", "action_required"]
"""After `declined`, the buyer may try again on the page; after `failed`, the movement has failed for good."""


class Open(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/payments`. With a `method`, it is paid at once; `moods` are misbehaviours (see
    `ops/sandbox/moods.py`), as are the words of the method after a `+`."""

    reference: _Reference
    amount_minor: _Amount
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    capture: Capture = "automatic"
    method: str | None = None
    return_url: str | None = None
    moods: tuple[str, ...] = ()


class Pay(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/payments/{id}/authorize`."""

    method: str


class Move(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /v1/payments/{id}/capture`, `/void` (the amount is ignored) and `/refund`. Without a reference,
    the movement was started at the provider, and its own id is the reference."""

    amount_minor: int = 0
    reference: _Reference | None = None


class Movement(msgspec.Struct):
    """One line of the sandbox's ledger."""

    id: str
    reference: str
    kind: MovementKind
    status: MovementStatus
    amount_minor: int
    at: datetime
    code: str = ""
    message: str = ""


class PaymentSaid(msgspec.Struct):
    """A payment with its movements, oldest first. `page_url` is where it can be paid, for as long as it can."""

    id: str
    reference: str
    amount_minor: int
    currency: str
    capture: Capture
    created_at: datetime
    page_url: str | None
    movements: list[Movement]


class PaymentsSaid(msgspec.Struct):
    """A page of the answer to `GET /v1/payments?since=&after=`: `after` is for the next page; None on the last."""

    payments: list[PaymentSaid]
    after: str | None


class ProblemSaid(msgspec.Struct):
    """The body of any 4xx answer."""

    code: str
    detail: str


class Notice(msgspec.Struct):
    """The body of a webhook: one movement, and the payment without its movements."""

    type: str
    payment_id: str
    payment_reference: str
    currency: str
    movement: Movement
