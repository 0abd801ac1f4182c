"""Live delivery rates: the provider is asked what the live methods of a checkout cost.

Nobody waits for a rate that somebody looked for hours ago. A provider that is away, or whose answers cannot be true, is
asked `task_attempts_max` times; then there are none for a while, and whoever looks after that has them asked for again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.checkout_rates import RecordRates
from domain.checkouts import OPEN, Checkout
from domain.quote.basket import RateAnswer, RateQuestion
from domain.quote.live_rates import untrue
from runtime.delivering.provider import DeliveryProvider
from runtime.delivering.registry import DELIVERY_PROVIDERS
from runtime.metrics import DELIVERY_CALL_SECONDS
from runtime.outside import Refused
from runtime.settings.delivering import RATE_LEAST_SECONDS
from workers.failures import Away
from workers.performers.calls import Untrue, called
from workers.tasks.entities import the
from workers.tasks.kinds import RATES, TaskTools, performs
from workers.tasks.queue import Task, waited_seconds

DELIVERY_CALL_SECONDS.allow(provider=DELIVERY_PROVIDERS)


class Unanswered(Exception):
    """The provider is away. That counts as an attempt."""


class _Asked(NamedTuple):
    """What is to be asked of a checkout, for the `ask`-th time."""

    checkout_id: UUID
    ask: int
    question: RateQuestion

    @property
    def key(self) -> str:
        """The key of this very question: a task that is run again may ask another one."""
        return f"{self.checkout_id}:{self.ask}"

    def command(self, answer: RateAnswer) -> RecordRates:
        return RecordRates(self.checkout_id, self.ask, answer)


async def _give_up(task: Task, tools: TaskTools) -> RecordRates | None:
    asked = await _asked(task, tools)
    return None if asked is None else asked.command(RateAnswer(expires_at=_from_now(RATE_LEAST_SECONDS)))


@performs("ask_rates", lane=RATES, give_up=_give_up)
async def _ask(task: Task, tools: TaskTools) -> RecordRates | None:
    """Of several questions about a checkout that wait, only the last is asked."""
    asked = await _asked(task, tools)
    if asked is None:
        return None
    if await waited_seconds(task, tools.pool) > RATE_LEAST_SECONDS:
        return asked.command(RateAnswer(expires_at=_from_now(0)))  # whoever still looks has them asked for again
    provider = tools.delivery_providers[asked.question.provider]
    try:
        answer = await called(DELIVERY_CALL_SECONDS, provider.name, "rates", _true(provider, asked))
    except Refused:
        answer = RateAnswer()
    except Away as unknown:
        raise Unanswered(str(unknown)) from unknown
    latest = _from_now(tools.config.delivery_rate_seconds)
    expires_at = latest if answer.expires_at is None else min(answer.expires_at, latest)
    return asked.command(msgspec.structs.replace(answer, expires_at=expires_at))


async def _true(provider: DeliveryProvider, asked: _Asked) -> RateAnswer:
    """What the provider answers. Raises Untrue, and what `DeliveryProvider` says."""
    answer = await provider.rates(asked.question, asked.key)
    wrong = untrue(asked.question, answer)
    if wrong is None and answer.expires_at is not None and answer.expires_at < _from_now(RATE_LEAST_SECONDS):
        wrong = f"it expires at {answer.expires_at}, before anybody could order"
    if wrong is not None:
        raise Untrue(f"{provider.name} gave an implausible answer: {wrong}")
    return answer


async def _asked(task: Task, tools: TaskTools) -> _Asked | None:
    """What is still to be asked: nothing, if it was answered, or nobody wants to know any more."""
    checkout = await the(tools, Checkout, UUID(task.payload["checkout_id"]))
    if checkout.status != OPEN or checkout.rate_question is None or checkout.rate_answer is not None:
        return None
    return _Asked(checkout.id, checkout.rate_asks, RateQuestion.opened(checkout.rate_question))


def _from_now(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)
