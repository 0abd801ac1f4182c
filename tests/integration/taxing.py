"""A shop whose taxes a provider computes: the provider is a stub on loopback, the background's tasks and reactions run
in this process, and the gateway's quotes are looked at as its routes do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.addresses import Address
from domain.checkout_taxes import AskTaxes
from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.ids import new_id, slot_of_id
from domain.model import Actor, Wanted
from domain.orders import ConfirmOrder
from domain.payments.commands import CreatePayment, ReportPayment
from domain.payments.entries import Entry, EntryType
from domain.payments.payment import Capabilities
from domain.quote.terms.taxes import Taxes, TaxPolicy
from domain.terms import TAXES, StateTerms
from gateway.views import checkouts as views
from gateway.views.checkouts import CheckoutView
from gateway.views.quoting import Quoting
from runtime.engine import create_engine
from tests.integration.background import Background, background, until
from tests.integration.reacting import Stage, tools
from tests.integration.shopfloor import ANN, STAFF, Shopfloor
from tests.quotes import AT
from tests.receiver import Answer, Receiver
from workers.reactions.invoicing import Invoicing
from workers.reactions.tax_reports import TaxReports
from workers.tasks.kinds import ESTIMATES

AUSTIN: Final = Address("Ada Lovelace", "1 Congress Avenue", "Austin", "US", region="TX", postal_code="78701")
LINES: Final = (Wanted("MUG", 3),)
NET_MINOR: Final = 300
TAX_MINOR: Final = 25
SECRET: Final = "of-the-tax-office"

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


class Office:
    """The provider, as a stub: what it was asked and told, and how it answers next."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        receiver.answer = self._take
        self.answer: Answer = computes
        self.heard: list[tuple[str, str, dict[str, Any]]] = []
        """The act, its key, and what was said."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}/taxes"

    @property
    def acts(self) -> list[str]:
        return [act for act, _, _ in self.heard]

    @property
    def keys(self) -> list[str]:
        return [key for _, key, _ in self.heard]

    async def _take(self, request: web.Request) -> web.StreamResponse:
        said = await request.json() if await request.read() else {}
        self.heard.append((request.path.rpartition("/")[2], request.headers["Idempotency-Key"], said))
        return await self.answer(request)


class Desk:
    """What a buyer, the workers and the background do in such a shop."""

    def __init__(
        self, tasks: Background, office: Office, engine: AsyncEngine, reports: Stage, invoicing: Stage
    ) -> None:
        self.tasks = tasks
        self.floor: Shopfloor = tasks.floor
        self.office = office
        self.quoting = Quoting(b"identities", tasks.config.tax_provider)
        self._engine = engine
        self._reports = reports
        self._invoicing = invoicing
        self._told = 0

    def id_beside(self, other: UUID) -> UUID:
        return new_id(1_600_000_000_000, slot_of_id(other), next(self.floor.numbers) << 20)

    async def applied(self, command: Any, actor: Actor = ANN) -> str:
        """Posts a command and waits for its outcome: applied, or `rejected: code`."""
        posted = await self.floor.post(command, actor=actor)
        found: list[str] = []

        async def settled() -> bool:
            found[:] = [status for status in await self.floor.statuses([posted]) if status != "not recorded"]
            return bool(found)

        await until(settled)
        return found[0]

    async def opened(self, **fields: Any) -> UUID:
        """A checkout of three mugs, which cost 300, to Austin."""
        checkout_id = self.floor.new_id()
        command = OpenCheckout(checkout_id, **{"lines": LINES, "address": AUSTIN.sealed(), **fields})
        assert await self.applied(command) == "applied"
        return checkout_id

    async def look(self, checkout_id: UUID) -> tuple[CheckoutView, AskTaxes | None]:
        """What a gateway shows of the checkout, and what it has asked."""
        async with self._engine.connect() as connection:
            found = await views.find(connection, self.quoting, ANN, checkout_id)
        assert found is not None
        return found.view, found.taxes

    async def completes(self, checkout_id: UUID) -> AskTaxes | None:
        """What a gateway has asked when somebody tries to complete the checkout."""
        async with self._engine.connect() as connection:
            found = await views.completion(connection, self.quoting, ANN, checkout_id)
        assert found is not None
        return found.taxes

    async def lacking(self, checkout_id: UUID) -> list[str]:
        view, _ = await self.look(checkout_id)
        return [each.code for each in view.requirements]

    async def asks(self, checkout_id: UUID) -> None:
        """Looks at the checkout, and has asked what is not known."""
        _, taxes = await self.look(checkout_id)
        assert taxes is not None
        assert await self.applied(taxes, STAFF) == "applied"

    async def answered(self, **fields: Any) -> UUID:
        """A checkout whose taxes are known."""
        checkout_id = await self.opened(**fields)
        await self.asks(checkout_id)
        assert await self.run() == 1
        return checkout_id

    async def run(self) -> int:
        """Runs the provider's tasks that are due now."""
        return await self.tasks.run_due(ESTIMATES)

    def completion(self, checkout_id: UUID, total_minor: int = NET_MINOR + TAX_MINOR) -> CompleteCheckout:
        return CompleteCheckout(checkout_id, self.id_beside(checkout_id), LINES, total_minor)

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
    office = Office(receiver)
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
