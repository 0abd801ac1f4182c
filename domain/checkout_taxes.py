"""The taxes of open checkouts, if a provider computes them. Reading a checkout whose taxes are not known posts the
question; a task asks the provider, and the answer is recorded. The question contains an address, so it is in the
checkout's row and never in the log.
"""

from typing import ClassVar, Final
from uuid import UUID

from domain.checkout_rules import learn, open_one
from domain.checkouts import CheckoutEvent, CheckoutUnchanged
from domain.ids import slot_of_id
from domain.model import Command, Context, Decision, Personal, Rejection, Shop, decides, evolves
from domain.quote.basket import TaxAnswer, TaxQuestion
from domain.tasks import NewTask, schedules

TAXES_PRINCIPAL: Final = "tidegate:taxes"
"""The principal of questions about taxes, whoever read the checkout."""


class AskTaxes(Command, frozen=True):
    """Asks for the checkout's taxes; `question` is a sealed TaxQuestion, the `ask`-th about this checkout. Of several
    with the same number, the first counts."""

    checkout_id: UUID
    ask: int
    question: Personal

    def slot(self) -> int:
        return slot_of_id(self.checkout_id)

    def __post_init__(self) -> None:
        TaxQuestion.opened(self.question)


class RecordTaxes(Command, frozen=True):
    """The provider's answer to the `ask`-th question."""

    checkout_id: UUID
    ask: int
    answer: TaxAnswer

    def slot(self) -> int:
        return slot_of_id(self.checkout_id)


class CheckoutTaxesAsked(CheckoutEvent, frozen=True):
    """The provider is to be asked: the `ask`-th question about this checkout."""

    type: ClassVar[str] = "checkout.taxes_asked"
    provider: str
    ask: int
    question: Personal | None = None


class CheckoutTaxesAnswered(CheckoutEvent, frozen=True):
    """The provider has answered. The answer counts as long as the same question would be asked."""

    type: ClassVar[str] = "checkout.taxes_answered"
    ask: int
    answer: TaxAnswer


@decides(AskTaxes)
def _ask(shop: Shop, command: AskTaxes, context: Context) -> Decision:
    checkout = open_one(shop, command.checkout_id, context)
    if isinstance(checkout, Rejection):
        return checkout
    if command.ask != checkout.tax_asks + 1:
        return (CheckoutUnchanged(checkout.id, checkout.customer_id),)
    provider = TaxQuestion.opened(command.question).provider
    return (CheckoutTaxesAsked(checkout.id, checkout.customer_id, provider, command.ask, command.question),)


@schedules(CheckoutTaxesAsked)
def _is_asked(event: CheckoutTaxesAsked) -> tuple[NewTask]:
    """The task has a subject of its own, so that nothing else about the checkout waits for the provider."""
    payload = {"checkout_id": str(event.checkout_id), "provider": event.provider}
    return (NewTask("estimate_taxes", f"taxes:{event.checkout_id}", payload),)


@decides(RecordTaxes)
def _record(shop: Shop, command: RecordTaxes, context: Context) -> Decision:
    checkout = open_one(shop, command.checkout_id, context)
    if isinstance(checkout, Rejection):
        return checkout
    if command.ask != checkout.tax_asks:
        return Rejection("checkout_changed", "A newer question has been asked since.")
    return (CheckoutTaxesAnswered(checkout.id, checkout.customer_id, command.ask, command.answer),)


@evolves(CheckoutTaxesAsked)
def _asked(shop: Shop, event: CheckoutTaxesAsked) -> None:
    learn(shop, event, tax_question=event.question, tax_asks=event.ask, tax_answer=None)


@evolves(CheckoutTaxesAnswered)
def _answered(shop: Shop, event: CheckoutTaxesAnswered) -> None:
    learn(shop, event, tax_answer=event.answer)
