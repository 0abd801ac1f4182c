"""A payment: one attempt of a buyer to pay for an order through one provider.

Its terms are fixed when it is created: its amount comes from the order, and its provider's capabilities are copied, so
that rules always decide the same. Its state is computed from its entries.
"""

from __future__ import annotations

from typing import Final, Literal
from uuid import UUID

import msgspec

from domain.ids import slot_of_id
from domain.model import Entity, Secret, Shop
from domain.payments.amounts import Amounts, action_required, amounts, capturable, refundable, verdicts
from domain.payments.entries import FAILURES, Entry, Kind

Capture = Literal["automatic", "manual"]
"""Whether the provider charges as soon as the buyer agrees, or sets the money aside until we capture it."""


class Capabilities(msgspec.Struct, frozen=True, gc=False):
    """What a provider can do, so that nothing else is asked of it. The default is everything. Where there is nobody to
    ask, `staff_report` what happened."""

    manual_capture: bool = True
    partial_capture: bool = True
    multi_capture: bool = True
    partial_refund: bool = True
    staff_report: bool = False


class Payment(Entity, frozen=True):
    """A payment. `amount_minor`, in minor units of `currency`, is what it was requested for. `provider_reference` is
    its id at the provider, once we know it; `card_id` is the gift card or store credit that pays, if no provider does;
    `action_url` is where the buyer has to go, while the provider waits for that. Its id carries the order's slot."""

    id: UUID
    order_id: UUID
    customer_id: str
    provider: str
    amount_minor: int
    currency: str
    capture: Capture
    capabilities: Capabilities
    entries: tuple[Entry, ...] = ()
    provider_reference: str | None = None
    card_id: UUID | None = None
    action_url: Secret | None = None

    def slot(self) -> int:
        return slot_of_id(self.id)

    @property
    def begun(self) -> Kind:
        """What happens when the buyer agrees: the money is charged, or authorized first."""
        return "charge" if self.capture == "automatic" else "authorization"

    @property
    def reference(self) -> str:
        """The reference of the entries about what was begun."""
        return str(self.id)

    @property
    def amounts(self) -> Amounts:
        return amounts(self.entries)

    @property
    def is_on_its_way(self) -> bool:
        """Whether the provider (not staff) still owes an outcome that may bring money."""
        now = self.amounts
        return bool(now.authorize_pending or now.charge_pending) and not self.capabilities.staff_report

    @property
    def has_failed(self) -> bool:
        """Whether it failed, according to the provider's reports so far."""
        standing = verdicts(self.begun, self.entries).get(self.reference)
        return standing is not None and standing.type == FAILURES[self.begun]

    @property
    def action_required(self) -> Entry | None:
        return action_required(self.entries)

    @property
    def capturable(self) -> int:
        return capturable(self.entries)

    @property
    def refundable(self) -> int:
        return refundable(self.entries)


def payments_of(shop: Shop, order_id: UUID) -> list[Payment]:
    """The order's payments, as far as they are loaded."""
    return [payment for payment in shop.of(Payment).values() if payment.order_id == order_id]


CREATED: Final = "created"
PENDING: Final = "pending"
ACTION_REQUIRED: Final = "action_required"
AUTHORIZED: Final = "authorized"
CHARGED: Final = "charged"
REFUNDED: Final = "refunded"
CANCELLED: Final = "cancelled"
FAILED: Final = "failed"


def status_of(entries: tuple[Entry, ...]) -> str:
    """The status in one word, for people and lists; no rule uses it. Waiting for somebody takes precedence."""
    now = amounts(entries)
    if action_required(entries) is not None:
        return ACTION_REQUIRED
    if now.is_pending:
        return PENDING
    if capturable(entries):
        return AUTHORIZED
    if now.charged > 0:
        return REFUNDED if now.refunded >= now.charged else CHARGED
    if now.cancelled:
        return CANCELLED
    if any(entry.type in FAILURES.values() for entry in entries):
        return FAILED
    return CREATED
