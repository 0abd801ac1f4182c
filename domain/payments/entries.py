"""Entries: the history of a payment, one line for each request that we made and each report of its provider.

Nothing else is stored about the state of a payment; amounts and status are computed from its entries (see `amounts`).
An entry says what happened to money, never what ought to: we add the requests, and only a provider's reports add the
rest.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec

from domain.limits import (
    PAYMENT_CODE_MAX_CHARS,
    PAYMENT_MESSAGE_MAX_CHARS,
    PAYMENT_REFERENCE_MAX_CHARS,
    PAYMENT_URL_MAX_CHARS,
)

Kind = Literal["authorization", "charge", "refund", "cancel"]
"""What is done with money: it is set aside for us, charged, refunded, or what was set aside is released."""

EntryType = Literal[
    "authorization_request",
    "authorization_success",
    "authorization_failure",
    "authorization_adjustment",
    "authorization_action_required",
    "charge_request",
    "charge_success",
    "charge_failure",
    "charge_action_required",
    "charge_back",
    "refund_request",
    "refund_success",
    "refund_failure",
    "refund_reverse",
    "cancel_request",
    "cancel_success",
    "cancel_failure",
    "info",
]
"""The types of Saleor's transaction events, whose meaning payment apps know."""

KINDS: Final[tuple[Kind, ...]] = ("authorization", "charge", "refund", "cancel")

AUTHORIZATION_ADJUSTMENT: Final = "authorization_adjustment"
"""The authorized amount from now on, replacing whatever was authorized before."""

CHARGE_BACK: Final = "charge_back"
"""The buyer's bank took charged money back."""

REFUND_REVERSE: Final = "refund_reverse"
"""Refunded money came back to us, for example because the buyer's account is closed."""

INFO: Final = "info"

REQUESTS: Final[dict[Kind, EntryType]] = {
    "authorization": "authorization_request",
    "charge": "charge_request",
    "refund": "refund_request",
    "cancel": "cancel_request",
}
SUCCESSES: Final[dict[Kind, EntryType]] = {
    "authorization": "authorization_success",
    "charge": "charge_success",
    "refund": "refund_success",
    "cancel": "cancel_success",
}
FAILURES: Final[dict[Kind, EntryType]] = {
    "authorization": "authorization_failure",
    "charge": "charge_failure",
    "refund": "refund_failure",
    "cancel": "cancel_failure",
}
ACTIONS_REQUIRED: Final[dict[Kind, EntryType]] = {
    "authorization": "authorization_action_required",
    "charge": "charge_action_required",
}


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One line. `amount_minor` is in the payment's currency, `at` by the clock of who tells it: ours for a request, the
    provider's for anything else.

    `reference` names the act that the entry is about: the id under which we requested it, or the provider's own, if it
    was begun there. Entries of one kind with one reference are about the same money. Without a reference, nobody could
    tell whether it was told twice: such an entry is recorded, and not counted. `code` is the provider's word for why
    something failed, and `message` its sentence. Where the buyer has to go is said by `url` in old entries only: who
    knows it may act as the buyer, so it is a secret of the payment, and not in the log.
    """

    type: EntryType
    reference: Annotated[str, msgspec.Meta(min_length=1, max_length=PAYMENT_REFERENCE_MAX_CHARS)] | None
    amount_minor: Annotated[int, msgspec.Meta(ge=0)]
    at: datetime
    code: Annotated[str, msgspec.Meta(max_length=PAYMENT_CODE_MAX_CHARS)] = ""
    message: Annotated[str, msgspec.Meta(max_length=PAYMENT_MESSAGE_MAX_CHARS)] = ""
    url: Annotated[str, msgspec.Meta(max_length=PAYMENT_URL_MAX_CHARS)] | None = None

    @property
    def kind(self) -> Kind | None:
        """The kind of act that it is about; None for mere information."""
        return _KIND_OF.get(self.type)


_KIND_OF: Final[dict[str, Kind]] = {
    **{of[kind]: kind for of in (REQUESTS, SUCCESSES, FAILURES, ACTIONS_REQUIRED) for kind in of},
    AUTHORIZATION_ADJUSTMENT: "authorization",
    CHARGE_BACK: "charge",
    REFUND_REVERSE: "refund",
}
