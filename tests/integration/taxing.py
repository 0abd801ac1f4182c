"""A shop whose taxes a provider computes: see `counter`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.checkout_taxes import AskTaxes
from domain.completion import CompleteCheckout
from domain.orders import ConfirmOrder
from domain.payments.commands import CreatePayment, ReportPayment
from domain.payments.entries import Entry, EntryType
from domain.payments.payment import Capabilities
from domain.quote.terms.taxes import Taxes, TaxPolicy
from domain.terms import TAXES, StateTerms
from runtime.engine import create_engine
from tests.integration.background import Background, background
from tests.integration.counter import NET_MINOR, SECRET, Counter, Office
from tests.integration.reacting import Stage, tools
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.quotes import AT
from tests.receiver import Answer, Receiver
from workers.reactions.invoicing import Invoicing
from workers.reactions.tax_reports import TaxReports
from workers.tasks.kinds import ESTIMATES

TAX_MINOR: Final = 25

_RATE_BP: Final = 825


def tax(amount_minor: int) -> dict[str, Any]:
    """A tax of Texas, as providers say it."""
    rate = {"name": "TX", "country": "US", "rate_bp": _RATE_BP, "reason": "standard"}
    return {**rate, "amount_minor": amount_minor}


async def computes(request: web.Request) -> web.StreamResponse:
    """Answers as a provider that knows its business: half a cent goes up."""
    said = await request.json()
    taxes = [[tax((part["amount_minor"] * _RATE_BP + 5_000) // 10_000)] for part in said.get("parts", ())]
    return web.json_response({"taxes": taxes})


def says(*parts: list[dict[str, Any]]) -> Answer:
    """Answers every question with these taxes."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"taxes": list(parts)})

    return answer


class Desk(Counter):
    """Such a shop's counter, with the reactions that draw up invoices and tell the provider of orders."""

    def __init__(
        self, tasks: Background, office: Office, engine: AsyncEngine, reports: Stage, invoicing: Stage
    ) -> None:
        super().__init__(tasks, office, engine, asks_by=AskTaxes, lane=ESTIMATES)
        self._reports = reports
        self._invoicing = invoicing
        self._told = 0

    def completion(self, checkout_id: UUID, total_minor: int = NET_MINOR + TAX_MINOR) -> CompleteCheckout:
        return super().completion(checkout_id, total_minor)

    async def ordered(self) -> UUID:
        """An order whose taxes the provider computed."""
        command = self.completion(await self.answered())
        assert await self.applied(command) == "applied"
        return command.order_id

    async def paid(self, order_id: UUID) -> UUID:
        """Pays it; returns the payment."""
        payment_id = self.id_beside(order_id)
        assert await self.applied(CreatePayment(order_id, payment_id, "sandbox", Capabilities())) == "applied"
        await self.report(order_id, payment_id, "charge_success", NET_MINOR + TAX_MINOR)
        return payment_id

    async def confirmed(self, order_id: UUID) -> str:
        """Staff confirm the order, before anything is charged."""
        return await self.applied(ConfirmOrder(order_id), STAFF)

    async def report(self, order_id: UUID, payment_id: UUID, kind: EntryType, amount_minor: int) -> None:
        """What the payment's provider says."""
        self._told += 1
        reference = str(payment_id) if kind == "charge_success" else f"act-{self._told}"
        report = ReportPayment(order_id, payment_id, "GBP", (Entry(kind, reference, amount_minor, AT),))
        assert await self.applied(report, STAFF) == "applied"

    async def react(self) -> None:
        """Has invoices drawn up, and the provider's reports requested."""
        await self._invoicing.run_to_the_end()
        await self._reports.run_to_the_end()

    async def told(self) -> list[str]:
        """Has the provider told of orders, until nothing is due; returns all the acts that it heard of."""
        await self.react()
        while await self.run():
            pass
        return [act for act in self.office.acts if act != "estimate"]


@asynccontextmanager
async def desk(
    floor: Shopfloor, receiver: Receiver, *, provider: str = "remote", **settings: Any
) -> AsyncIterator[Desk]:
    """A shop whose taxes the stub computes, as this provider; prices are without them."""
    floor.tax_provider = provider
    office = Office(receiver, computes)
    engine = create_engine(floor.database_url, pool_size=2)
    taxed = {"tax_provider": provider, "tax_url": office.url, "tax_secret": SecretStr(SECRET), **settings}
    try:
        async with tools(floor) as given, background(floor, **taxed) as tasks:
            reports, invoicing = Stage(floor, TaxReports(given)), Stage(floor, Invoicing(given))
            await reports.begin()
            await invoicing.begin()
            made = Desk(tasks, office, engine, reports, invoicing)
            await floor.fill(MUG=50)
            assert await made.applied(StateTerms(TAXES, taxes=Taxes("US", policy=TaxPolicy())), STAFF) == "applied"
            yield made
    finally:
        await engine.dispose()
