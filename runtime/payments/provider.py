"""What the shop asks of a provider of payments, and what a provider answers.

Every answer is a report: entries of one payment, as many as the provider cares to tell, in any order and as often as it
likes; `domain.payments.rules` finds what is new in them. A decline is such an answer. There are two other ends of a
call: the provider does not take it, which is our mistake, or nobody knows whether it did what it was asked. Then it is
asked again with the same key, and never guessed.
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
    """A payment, as far as its provider has to know it. `provider_reference` is its name there, once we know it."""

    payment_id: UUID
    amount_minor: int
    currency: str
    capture: Capture
    provider_reference: str | None = None

    @classmethod
    def of(cls, payment: Payment, provider_reference: str | None = None) -> Attempt:
        """The attempt that the payment is."""
        reference = provider_reference or payment.provider_reference
        return cls(payment.id, payment.amount_minor, payment.currency, payment.capture, reference)

    @property
    def reference(self) -> str:
        """The reference of the entries about authorizing it, or charging it at once."""
        return str(self.payment_id)


class Act(msgspec.Struct, frozen=True):
    """Something to be done to a payment. Its reference is made from the event that requested it, and is the key by
    which the provider recognizes the same request: whoever asks again, after whatever crash, asks for the same act."""

    reference: str
    amount_minor: int


class Report(msgspec.Struct, frozen=True):
    """What a provider says of one payment. `payment_id` is None if the provider was never told it, or lost it.
    `action_url` is where the buyer has to go, if it waits for that."""

    payment_id: UUID | None
    provider_reference: str | None
    currency: str
    entries: tuple[Entry, ...]
    action_url: Secret | None = None

    def command(self, payment: Payment, ask_in_seconds: float | None = None) -> ReportPayment:
        """The command that tells the payment what may be news to it."""
        entries = untold(payment, self.entries, self.currency)
        what = (self.currency, entries, self.provider_reference, ask_in_seconds, self.action_url)
        return ReportPayment(payment.order_id, payment.id, *what)


class WebhookInvalid(Exception):
    """A webhook that the provider did not send: not signed, signed by somebody else, too old, or unreadable."""


class WebhookUnreadable(WebhookInvalid):
    """A webhook that is not what the provider says it sends."""


class Provider(Protocol):
    """One provider. Calls may be made side by side, and each raises Refused or OutcomeUnknown."""

    @property
    def name(self) -> str:
        """What it is called in settings, payments and paths."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; each payment keeps what was true when it was created."""

    async def create(self, attempt: Attempt, *, method: str | None = None, return_url: str | None = None) -> Report:
        """Begins an attempt; repeated, it is the same one. With a `method`, a token that stands for the buyer's card or
        account, it is authorized or charged at once. Without one, or if the method takes another step, the report says
        where the buyer has to go; from there the buyer returns to `return_url`."""

    async def authorize(self, attempt: Attempt, *, method: str, key: str) -> Report:
        """Tries a method on an attempt that was created: the first, or another one after a decline. `key` is what `Act`
        calls a reference."""

    async def capture(self, attempt: Attempt, act: Act) -> Report:
        """Charges a part or all of what is authorized."""

    async def void(self, attempt: Attempt, act: Act) -> Report:
        """Lets go what is authorized and not captured, or ends an attempt that waits for its buyer."""

    async def refund(self, attempt: Attempt, act: Act) -> Report:
        """Gives back a part or all of what is charged."""

    async def ask(self, attempt: Attempt) -> Report:
        """All that the provider knows of the payment; no entries if it never heard of it. Changes nothing there,
        except that an attempt which failed, and could be paid yet, is ended."""

    def parse_webhook(self, body: bytes, headers: Mapping[str, str]) -> list[Report]:
        """What a webhook says; nothing, if it is about something else. Raises WebhookInvalid."""

    def history(self, since: datetime) -> AsyncIterator[Report]:
        """Everything that the provider knows of every payment that was created since then."""
