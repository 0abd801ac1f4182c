"""The interface of payment providers: what the shop asks of them, and what they answer.

Every answer is a report: entries of one payment, any number of them, in any order and any number of times;
`domain.payments.rules` finds out which are new. A decline is an ordinary answer. A call can also end in two other ways:
the provider refuses the request, which is our mistake, or its outcome is unknown. Then nothing is guessed: the call is
repeated with the same idempotency key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from domain.model import Secret
from domain.payments.commands import ReportPayment
from domain.payments.entries import Entry
from domain.payments.payment import Capabilities, Capture, Payment
from domain.payments.rules import untold


class Attempt(msgspec.Struct, frozen=True):
    """What a provider has to know of a payment. `provider_reference` is its id at the provider, once we know it."""

    payment_id: UUID
    amount_minor: int
    currency: str
    capture: Capture
    provider_reference: str | None = None

    @classmethod
    def of(cls, payment: Payment, provider_reference: str | None = None) -> Attempt:
        """The attempt for a payment."""
        reference = provider_reference or payment.provider_reference
        return cls(payment.id, payment.amount_minor, payment.currency, payment.capture, reference)

    @property
    def reference(self) -> str:
        """The reference of the entries about authorizing it or charging it directly."""
        return str(self.payment_id)


class Act(msgspec.Struct, frozen=True):
    """Something to be done to a payment. Its reference is derived from the event that requested it, and serves as the
    idempotency key: a call that is repeated after a crash requests the same act."""

    reference: str
    amount_minor: int


class Report(msgspec.Struct, frozen=True):
    """What a provider says about one payment. `payment_id` is None if the provider was never told it, or lost it.
    `action_url` is where the buyer has to go, if the payment waits for that."""

    payment_id: UUID | None
    provider_reference: str | None
    currency: str
    entries: tuple[Entry, ...]
    action_url: Secret | None = None

    def command(self, payment: Payment, ask_in_seconds: float | None = None) -> ReportPayment:
        """The command that reports whatever may be new to the payment."""
        entries = untold(payment, self.entries, self.currency)
        what = (self.currency, entries, self.provider_reference, ask_in_seconds, self.action_url)
        return ReportPayment(payment.order_id, payment.id, *what)


class WebhookInvalid(Exception):
    """A webhook that cannot be trusted or read: not signed, signed by someone else, too old, or unreadable."""


class WebhookUnreadable(WebhookInvalid):
    """A webhook whose content does not match the provider's documentation."""


class Provider(Protocol):
    """One provider. Calls may be concurrent; each may raise Refused or OutcomeUnknown."""

    @property
    def name(self) -> str:
        """Its name in settings, payments and paths."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; each payment keeps what was true when it was created."""

    async def create(self, attempt: Attempt, *, method: str | None = None, return_url: str | None = None) -> Report:
        """Begins an attempt; idempotent. With a `method` (a token for the buyer's card or account), it is authorized or
        charged at once. Without one, or if the method requires another step, the report says where the buyer has to go,
        and the buyer is sent back to `return_url` from there."""

    async def authorize(self, attempt: Attempt, *, method: str, key: str) -> Report:
        """Tries a method on an existing attempt: the first one, or another one after a decline. `key` is the
        idempotency key, like the reference of an `Act`."""

    async def capture(self, attempt: Attempt, act: Act) -> Report:
        """Charges all or part of what is authorized."""

    async def void(self, attempt: Attempt, act: Act) -> Report:
        """Releases what is authorized but not captured, or ends an attempt that waits for its buyer."""

    async def refund(self, attempt: Attempt, act: Act) -> Report:
        """Refunds all or part of what is charged."""

    async def ask(self, attempt: Attempt) -> Report:
        """Everything that the provider knows about the payment; no entries if it does not know it. Changes nothing
        there, except that a failed attempt that could still be paid is ended."""

    def parse_webhook(self, body: bytes, headers: Mapping[str, str]) -> list[Report]:
        """The reports in a webhook; empty if it is about something else. Raises WebhookInvalid."""

    def history(self, since: datetime) -> AsyncIterator[Report]:
        """Everything that the provider knows about each payment created since then."""
