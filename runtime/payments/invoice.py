"""Paying by invoice, bank transfer or cash: there is no service to ask, so staff report what happened.

A request is pending until they do. Only voiding needs no report: a buyer cannot pay an invoice that is void.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from domain.payments.entries import FAILURES, SUCCESSES, Entry
from domain.payments.payment import Capabilities
from runtime.outside import Refused
from runtime.payments.provider import Act, Attempt, Report, WebhookInvalid

NAME: Final = "invoice"


class Invoice:
    """A provider without an external service. `now` is the clock."""

    name: Final = NAME
    capabilities: Final = Capabilities(
        manual_capture=False, partial_capture=False, multi_capture=False, staff_report=True
    )

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now

    async def create(self, attempt: Attempt, *, method: str | None = None, return_url: str | None = None) -> Report:
        return _nothing_new(attempt)

    async def authorize(self, attempt: Attempt, *, method: str, key: str) -> Report:
        raise Refused("an invoice is paid by its own ways")

    async def capture(self, attempt: Attempt, act: Act) -> Report:
        raise Refused("an invoice is paid, not captured")

    async def void(self, attempt: Attempt, act: Act) -> Report:
        at = self._now()
        return Report(
            attempt.payment_id,
            None,
            attempt.currency,
            (
                Entry(
                    FAILURES["charge"], attempt.reference, attempt.amount_minor, at, "abandoned", "It was abandoned."
                ),
                Entry(SUCCESSES["cancel"], act.reference, act.amount_minor, at),
            ),
        )

    async def refund(self, attempt: Attempt, act: Act) -> Report:
        return _nothing_new(attempt)

    async def ask(self, attempt: Attempt) -> Report:
        return _nothing_new(attempt)

    def parse_webhook(self, body: bytes, headers: Mapping[str, str]) -> list[Report]:
        raise WebhookInvalid("nobody sends webhooks about invoices")

    async def history(self, since: datetime) -> AsyncIterator[Report]:
        no_reports: tuple[Report, ...] = ()
        for report in no_reports:
            yield report


def _nothing_new(attempt: Attempt) -> Report:
    return Report(attempt.payment_id, None, attempt.currency, ())
