"""How often a request that waits for a payment's provider looks, and when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from domain.completion import CompleteCheckout
from domain.ids import new_id
from domain.payments.commands import CreatePayment
from domain.payments.payment import Capabilities
from gateway.routes.payments import subject_of, when_heard_of
from gateway.views.payments import PaymentView
from gateway.writing.happening import Happenings

CHECKOUT, ORDER, PAYMENT = (new_id(1, 0, number) for number in range(3))
OURS, ANOTHER = UUID(int=1), UUID(int=2)
LONG_SECONDS = 60.0


class Gateway:
    """A stub of the gateway: its waits, and which providers report. Each look is counted, and finds the reports so
    far."""

    def __init__(self, *, has_payment: bool = True, speaks: bool = True) -> None:
        self.happenings = Happenings(max_requests=1)
        self.payments = {"bank": SimpleNamespace(capabilities=Capabilities(staff_report=not speaks))}
        self.is_heard_of = False
        self.looks = asyncio.Semaphore(0)
        self._has_payment = has_payment

    async def look(self) -> tuple[str, PaymentView | None]:
        said = "heard of" if self.is_heard_of else "begun"
        self.looks.release()
        payment = SimpleNamespace(id=PAYMENT, provider="bank", is_unheard_of=not self.is_heard_of)
        return said, cast(PaymentView, payment) if self._has_payment else None

    def told(self, command_id: UUID) -> None:
        event: Any = SimpleNamespace(subject=str(PAYMENT), command_id=command_id)
        self.happenings.take([event])

    async def wait(self, command_id: UUID | None, *, seconds: float = LONG_SECONDS) -> str:
        look: Callable[[], Awaitable[tuple[str, PaymentView | None]]] = self.look
        with self.happenings.expect(str(PAYMENT) if command_id else None) as awaited:
            if command_id:
                self.told(command_id)
            return await when_heard_of(cast(Any, self), look, awaited, command_id, until=monotonic() + seconds)


async def test_a_request_that_began_a_payment_looks_again_after_the_provider_s_report() -> None:
    gateway = Gateway()
    waiting = asyncio.create_task(gateway.wait(OURS))
    for _ in range(3):
        await asyncio.sleep(0)
    assert gateway.looks.locked()
    gateway.is_heard_of = True
    gateway.told(ANOTHER)
    assert await asyncio.wait_for(waiting, LONG_SECONDS) == "heard of"
    assert gateway.looks._value == 1


async def test_a_repeated_request_looks_at_once_and_again_after_an_event() -> None:
    gateway = Gateway()
    waiting = asyncio.create_task(gateway.wait(None))
    await gateway.looks.acquire()
    await gateway.looks.acquire()
    assert not waiting.done()
    gateway.is_heard_of = True
    gateway.told(ANOTHER)
    assert await asyncio.wait_for(waiting, LONG_SECONDS) == "heard of"


async def test_when_the_time_is_up_it_is_told_what_there_is() -> None:
    for command_id in (OURS, None):
        gateway = Gateway()
        assert await gateway.wait(command_id, seconds=0) == "begun"
        assert gateway.looks._value == 1


async def test_without_a_provider_that_reports_there_is_no_wait() -> None:
    for gateway in (Gateway(has_payment=False), Gateway(speaks=False)):
        assert await asyncio.wait_for(gateway.wait(None), LONG_SECONDS / 2) == "begun"


def _payment(*, staff_report: bool = False) -> CreatePayment:
    return CreatePayment(ORDER, PAYMENT, "bank", Capabilities(staff_report=staff_report), "automatic", None, None)


def test_only_a_payment_that_begins_and_whose_provider_speaks_is_awaited() -> None:
    assert subject_of(_payment()) == str(PAYMENT)
    assert subject_of(_payment(staff_report=True)) is None
    for due_minor, begins in ((None, True), (100, True), (0, False)):
        command = CompleteCheckout(CHECKOUT, ORDER, (), 300, payment=_payment(), expected_due_minor=due_minor)
        assert subject_of(command.begins) == (str(PAYMENT) if begins else None)
