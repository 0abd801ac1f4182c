"""Taxes: asks the provider for the taxes of a checkout, and reports to it what becomes of the order.

While the provider is unavailable, it is asked again, until `tax_fallback_seconds` are over and the shop's own rates are
used instead. An answer that cannot be true counts as a failure; after `task_attempts_max` failures, the provider counts
as having refused. Reports that it rejects are left to staff.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from domain.checkout_taxes import RecordTaxes
from domain.checkouts import OPEN, Checkout
from domain.invoices import Invoice
from domain.order_taxes import COMMIT, VOID, TaxAct
from domain.quote.basket import TaxAnswer, TaxQuestion
from domain.quote.estimates import untrue
from domain.quote.fallback import answer_by_own_rates
from domain.quote.quoted import Quote
from domain.terms import TAXES, TermsPart
from runtime.metrics import TAX_CALL_SECONDS
from runtime.outside import Refused
from runtime.taxing.provider import Sale, SoldPart, TaxProvider, TaxRefund
from runtime.taxing.registry import TAX_PROVIDERS
from workers.failures import Away, backoff_seconds
from workers.performers.calls import Untrue, called
from workers.tasks.entities import find, the
from workers.tasks.kinds import ESTIMATES, Later, TaskTools, performs
from workers.tasks.queue import Task, waited_seconds

_SOLD = "SELECT number, placed_at, checkout_id FROM orders WHERE id = $1"
_DRAWN_UP = "SELECT created_at FROM invoices WHERE id = $1"

_log = logging.getLogger(__name__)

TAX_CALL_SECONDS.allow(provider=TAX_PROVIDERS)


class _Asked(NamedTuple):
    """A question about a checkout, the `ask`-th one."""

    checkout_id: UUID
    ask: int
    question: TaxQuestion

    @property
    def key(self) -> str:
        """The idempotency key of this question; a later run of the task may have a newer question."""
        return f"{self.checkout_id}:{self.ask}"

    def command(self, answer: TaxAnswer) -> RecordTaxes:
        return RecordTaxes(self.checkout_id, self.ask, answer)


async def _give_up(task: Task, tools: TaskTools) -> RecordTaxes | None:
    asked = await _asked(task, tools)
    if asked is None:
        return None
    return await _by_own_rates(tools, asked) or asked.command(TaxAnswer(refused=True))


@performs("estimate_taxes", lane=ESTIMATES, give_up=_give_up)
async def _estimate(task: Task, tools: TaskTools) -> RecordTaxes | Later | None:
    """If several questions about a checkout are waiting, only the last one is asked."""
    asked = await _asked(task, tools)
    if asked is None:
        return None
    provider = tools.tax_providers[asked.question.provider]
    try:
        answer = await called(TAX_CALL_SECONDS, provider.name, "estimate", _true(provider, asked))
    except Refused:
        return asked.command(TaxAnswer(refused=True))
    except (Away, Untrue):
        if (instead := await _instead(task, tools, asked)) is None:
            raise
        return instead
    return asked.command(answer)


async def _true(provider: TaxProvider, asked: _Asked) -> TaxAnswer:
    """The provider's answer. Raises Untrue, and what `TaxProvider` raises."""
    answer = await provider.estimate(asked.question, asked.key)
    if (wrong := untrue(asked.question, answer)) is not None:
        raise Untrue(f"{provider.name} gave an implausible answer: {wrong}")
    return answer


async def _instead(task: Task, tools: TaskTools, asked: _Asked) -> RecordTaxes | Later | None:
    """The answer by the shop's own rates, if the provider has been unavailable for long enough; Later, if that time
    will be reached before the next attempt; None if the provider is to be asked again as usual."""
    patience_seconds = tools.config.tax_fallback_seconds
    if patience_seconds is None:
        return None
    left_seconds = patience_seconds - await waited_seconds(task, tools.pool)
    if left_seconds <= 0:
        return await _by_own_rates(tools, asked)
    is_last = left_seconds < backoff_seconds(task.run, tools.config.task_retry_max_seconds)
    return Later(left_seconds) if is_last else None


async def _by_own_rates(tools: TaskTools, asked: _Asked) -> RecordTaxes | None:
    """The answer by the shop's own rates, if the settings allow it and the rates can answer the question."""
    part = None if tools.config.tax_fallback_seconds is None else await find(tools, TermsPart, TAXES)
    if part is None or part.taxes is None:
        return None
    answer = answer_by_own_rates(asked.question, part.taxes, datetime.now(UTC))
    if answer is None or untrue(asked.question, answer) is not None:  # it may have more taxes than an answer may
        return None
    _log.warning("%s is away: the shop's own rates are charged", asked.question.provider)
    return asked.command(answer)


async def _asked(task: Task, tools: TaskTools) -> _Asked | None:
    """The open question; None if it has been answered, or if the checkout is no longer open."""
    checkout = await the(tools, Checkout, UUID(task.payload["checkout_id"]))
    if checkout.status != OPEN or checkout.tax_question is None or checkout.tax_answer is not None:
        return None
    return _Asked(checkout.id, checkout.tax_asks, TaxQuestion.opened(checkout.tax_question))


@performs("report_taxes", lane=ESTIMATES)
async def _report(task: Task, tools: TaskTools) -> None:
    provider = tools.tax_providers[task.payload["provider"]]
    sale, act, key = await _sale(tools, UUID(task.payload["order_id"])), task.payload["act"], str(task.id)
    if act == COMMIT:
        await _told(provider, act, provider.commit(sale, key))
    elif act == VOID:
        await _told(provider, act, provider.void(sale, key))
    else:
        await _told(provider, act, provider.refund(sale, await _refund(tools, task.payload["invoice_id"]), key))


async def _told(provider: TaxProvider, act: TaxAct, call: Awaitable[None]) -> None:
    await called(TAX_CALL_SECONDS, provider.name, act, call)


async def _sale(tools: TaskTools, order_id: UUID) -> Sale:
    number, sold_at, checkout_id = await tools.pool.fetchrow(_SOLD, order_id)
    checkout = await the(tools, Checkout, checkout_id)
    quote = checkout.quote
    assert quote is not None, "what was ordered was quoted"
    question = None if checkout.tax_question is None else TaxQuestion.opened(checkout.tax_question)
    about_buyer = (None, None, False) if question is None else (question.to, question.tax_id, question.tax_exempt)
    total_minor, included = quote.total_minor, quote.tax_included
    return Sale(order_id, number, sold_at, quote.currency, total_minor, included, _parts(quote), *about_buyer)


def _parts(quote: Quote) -> tuple[SoldPart, ...]:
    lines = tuple(SoldPart(line.sku, line.quantity, line.net_minor, line.taxes) for line in quote.lines)
    delivery = quote.delivery
    return lines if delivery is None else (*lines, SoldPart(None, 1, delivery.net_minor, delivery.taxes))


async def _refund(tools: TaskTools, invoice_id: str) -> TaxRefund:
    note = await the(tools, Invoice, invoice_id)
    refunded_at: datetime = await tools.pool.fetchval(_DRAWN_UP, invoice_id)
    return TaxRefund(note.number, refunded_at, note.total_minor, note.taxes)
