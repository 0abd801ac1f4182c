"""Payments: makes the requests in the log to providers, and reports what they answer.

The reference of a request is its idempotency key, so it may be repeated. While its outcome is unknown, it is repeated;
if the provider refuses it, it has failed, unless the provider reports that it was done. Whatever is still pending after
that is asked about, less and less often; an answer with nothing new leaves no trace in the log.
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from domain.limits import PAYMENT_MESSAGE_MAX_CHARS
from domain.payments.commands import ReportPayment
from domain.payments.entries import FAILURES, SUCCESSES, Entry, Kind
from domain.payments.payment import Payment
from domain.payments.rules import is_known, news
from runtime.metrics import PROVIDER_CALL_SECONDS
from runtime.outside import Refused
from runtime.payments.provider import Act, Attempt, Provider, Report
from runtime.payments.registry import PROVIDERS
from workers.performers.calls import called
from workers.tasks.entities import the
from workers.tasks.kinds import Later, TaskTools, performs
from workers.tasks.queue import Task

PROVIDER_CALL_SECONDS.allow(provider=PROVIDERS)

_REFUSED: Final = "refused"
_DOUBLED_MAX: Final = 32


@performs("create_payment")
async def _create(task: Task, tools: TaskTools) -> ReportPayment | None:
    payment = await the(tools, Payment, UUID(task.subject))
    provider = tools.providers[payment.provider]
    method, return_url = task.payload["method"], task.payload["return_url"]
    attempt, act = Attempt.of(payment), Act(payment.reference, payment.amount_minor)
    call = _called(provider, "create", provider.create(attempt, method=method, return_url=return_url))
    report = await _outcome(provider, attempt, payment.begun, act, call)
    return _command(payment, report, tools.config.payment_ask_seconds)


@performs("move_payment")
async def _move(task: Task, tools: TaskTools) -> ReportPayment | None:
    payment = await the(tools, Payment, UUID(task.subject))
    provider, kind = tools.providers[payment.provider], task.payload["kind"]
    act = Act(task.payload["reference"], task.payload["amount_minor"])
    attempt = await _named(provider, payment)
    operation, does = {
        "charge": ("capture", provider.capture),
        "cancel": ("void", provider.void),
        "refund": ("refund", provider.refund),
    }[kind]
    report = await _outcome(provider, attempt, kind, act, _called(provider, operation, does(attempt, act)))
    return _command(payment, report, tools.config.payment_ask_seconds)


@performs("ask_payment")
async def _ask(task: Task, tools: TaskTools) -> ReportPayment | Later | None:
    """Asks about a pending payment; and once more about one that failed according to a webhook, because asking makes
    the provider end the attempt."""
    payment = await the(tools, Payment, UUID(task.payload["payment_id"]))
    is_pending = payment.amounts.is_pending
    if not is_pending and not payment.has_failed:
        return None
    doubled = task.payload["after_seconds"] * 2.0 ** min(task.run, _DOUBLED_MAX)
    again_seconds = min(doubled, tools.config.payment_ask_max_seconds)
    report = await _asked(tools.providers[payment.provider], Attempt.of(payment))
    if not is_pending and not news(payment, report.entries, report.currency):
        return None
    if is_known(payment, report.entries, report.currency, report.provider_reference):
        return Later(again_seconds)
    return _command(payment, report, again_seconds)


async def _named(provider: Provider, payment: Payment) -> Attempt:
    """The payment with its id at the provider, which has to be asked for it if the answer with the id was lost."""
    if payment.provider_reference is None and not payment.capabilities.staff_report:
        report = await _asked(provider, Attempt.of(payment))
        return Attempt.of(payment, report.provider_reference)
    return Attempt.of(payment)


async def _outcome(provider: Provider, attempt: Attempt, kind: Kind, act: Act, call: Awaitable[Report]) -> Report:
    """The outcome of a request. Raises Away while it is unknown.

    A request may be refused because of something that we do not know yet: the attempt to be ended has been paid, or the
    act was done, but its answer was lost and its key forgotten. So the provider is asked, and if it reports that the
    act was done, that counts.
    """
    try:
        return await call
    except Refused as refused:
        said, at = str(refused)[:PAYMENT_MESSAGE_MAX_CHARS], datetime.now(UTC)
    asked = await _asked(provider, attempt)
    if any((entry.type, entry.reference) == (SUCCESSES[kind], act.reference) for entry in asked.entries):
        return asked
    failure = Entry(FAILURES[kind], act.reference, act.amount_minor, at, _REFUSED, said)
    return Report(attempt.payment_id, asked.provider_reference, asked.currency, (*asked.entries, failure))


async def _asked(provider: Provider, attempt: Attempt) -> Report:
    return await _called(provider, "ask", provider.ask(attempt))


async def _called(provider: Provider, operation: str, call: Awaitable[Report]) -> Report:
    return await called(PROVIDER_CALL_SECONDS, provider.name, operation, call)


def _command(payment: Payment, report: Report, ask_in_seconds: float) -> ReportPayment | None:
    """The command that reports what may be new; None for an invoice about which nothing has happened."""
    if payment.capabilities.staff_report and is_known(
        payment, report.entries, report.currency, report.provider_reference
    ):
        return None
    return report.command(payment, None if payment.capabilities.staff_report else ask_in_seconds)
