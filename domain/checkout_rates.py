"""The live delivery rates of open checkouts. Reading a checkout whose rates are not known, or have expired, posts the
question; a task asks the provider, and the answer is recorded. The question contains an address, so it is in the
checkout's row and never in the log.
"""

from typing import ClassVar, Final
from uuid import UUID

from domain.checkout_rules import learn, open_one
from domain.checkouts import CheckoutEvent, CheckoutUnchanged
from domain.ids import slot_of_id
from domain.model import Command, Context, Decision, Personal, Rejection, Shop, decides, evolves
from domain.quote.basket import RateAnswer, RateQuestion
from domain.tasks import NewTask, schedules

RATES_PRINCIPAL: Final = "tidegate:rates"
"""The principal of questions about rates, whoever read the checkout."""


class AskRates(Command, frozen=True):
    """Asks for the checkout's live rates; `question` is a sealed RateQuestion, the `ask`-th about this checkout. Of
    several with the same number, the first counts."""

    checkout_id: UUID
    ask: int
    question: Personal

    def slot(self) -> int:
        return slot_of_id(self.checkout_id)

    def __post_init__(self) -> None:
        RateQuestion.opened(self.question)


class RecordRates(Command, frozen=True):
    """The provider's answer to the `ask`-th question."""

    checkout_id: UUID
    ask: int
    answer: RateAnswer

    def slot(self) -> int:
        return slot_of_id(self.checkout_id)


class CheckoutRatesAsked(CheckoutEvent, frozen=True):
    """The provider is to be asked: the `ask`-th question about this checkout."""

    type: ClassVar[str] = "checkout.rates_asked"
    provider: str
    ask: int
    question: Personal | None = None


class CheckoutRatesAnswered(CheckoutEvent, frozen=True):
    """The provider has answered. The answer counts until it expires, as long as the same question would be asked."""

    type: ClassVar[str] = "checkout.rates_answered"
    ask: int
    answer: RateAnswer


@decides(AskRates)
def _ask(shop: Shop, command: AskRates, context: Context) -> Decision:
    checkout = open_one(shop, command.checkout_id, context)
    if isinstance(checkout, Rejection):
        return checkout
    if command.ask != checkout.rate_asks + 1 or checkout.address is None:  # a place that was taken back stays so
        return (CheckoutUnchanged(checkout.id, checkout.customer_id),)
    provider = RateQuestion.opened(command.question).provider
    return (CheckoutRatesAsked(checkout.id, checkout.customer_id, provider, command.ask, command.question),)


@schedules(CheckoutRatesAsked)
def _is_asked(event: CheckoutRatesAsked) -> tuple[NewTask]:
    """The task has a subject of its own: nothing else about the checkout waits for the provider, and questions are
    asked one at a time."""
    payload = {"checkout_id": str(event.checkout_id), "provider": event.provider}
    return (NewTask("ask_rates", f"rates:{event.checkout_id}", payload),)


@decides(RecordRates)
def _record(shop: Shop, command: RecordRates, context: Context) -> Decision:
    checkout = open_one(shop, command.checkout_id, context)
    if isinstance(checkout, Rejection):
        return checkout
    if command.ask != checkout.rate_asks:
        return Rejection("checkout_changed", "A newer question has been asked since.")
    return (CheckoutRatesAnswered(checkout.id, checkout.customer_id, command.ask, command.answer),)


@evolves(CheckoutRatesAsked)
def _asked(shop: Shop, event: CheckoutRatesAsked) -> None:
    learn(shop, event, rate_question=event.question, rate_asks=event.ask, rate_answer=None)


@evolves(CheckoutRatesAnswered)
def _answered(shop: Shop, event: CheckoutRatesAnswered) -> None:
    learn(shop, event, rate_answer=event.answer)
