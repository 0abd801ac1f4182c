"""A shop floor that takes money: the background's tasks and a sandbox in this process, where orders are placed and paid
step by step."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from unittest.mock import ANY
from uuid import UUID

from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.ids import new_id, slot_of_id
from domain.model import Actor, Wanted
from domain.orders import PlaceOrder
from domain.payments.amounts import Amounts
from domain.payments.commands import CreatePayment, ReportPayment
from domain.payments.payment import Capabilities, Capture
from ops.cli.payments import compare
from runtime.payments.invoice import Invoice
from runtime.tables.payments import AMOUNTS
from tests.integration.background import Background, outcome_of
from tests.integration.shopfloor import ANN, STAFF, Shopfloor
from tests.payments import SandboxHere
from tests.receiver import Receiver
from workers.tasks.kinds import CALLS

ALL: Final = Capabilities()
THREE_MUGS: Final = (Wanted("MUG", 3),)
PROVIDER: Final = Actor.in_role("tidegate:payments", "staff")


class Till:
    """A shop floor with the background's tasks and a sandbox, where orders of 300 are placed and paid."""

    def __init__(self, tasks: Background, sandbox: SandboxHere, shop: Receiver) -> None:
        self.tasks = tasks
        self.floor: Shopfloor = tasks.floor
        self.sandbox = sandbox
        self.shop = shop
        self._ids = iter(range(1, 1_000_000))

    def id_beside(self, other: UUID) -> UUID:
        return new_id(1_600_000_000_000, slot_of_id(other), next(self._ids) << 20)

    async def checkout(self, **fields: Any) -> UUID:
        """A checkout of three mugs, which cost 300."""
        await self.floor.fill(MUG=50)
        checkout_id = self.floor.new_id()
        await self.applied(OpenCheckout(checkout_id, lines=THREE_MUGS, **fields), ANN)
        return checkout_id

    def completion(self, checkout_id: UUID, total_minor: int = 300, method: str | None = "card") -> CompleteCheckout:
        """Completes it and pays, if the total is not 0."""
        order_id, payment_id = self.id_beside(checkout_id), self.id_beside(checkout_id)
        payment = CreatePayment(order_id, payment_id, "sandbox", ALL, method=method)
        return CompleteCheckout(checkout_id, order_id, THREE_MUGS, total_minor, payment=payment)

    async def order(self) -> PlaceOrder:
        await self.floor.fill(MUG=50)
        order = self.floor.place(MUG=3)
        await self.applied(order, ANN)
        return order

    async def applied(self, command: Any, actor: Actor = STAFF) -> str:
        """Posts a command and waits for its outcome: applied, or `rejected: code`."""
        return await outcome_of(self.floor, command, actor)

    async def pays(
        self, order_id: UUID, method: str | None = "card", capture: Capture = "automatic", provider: str = "sandbox"
    ) -> UUID:
        """Has a payment created; the provider was not asked yet."""
        payment_id = self.id_beside(order_id)
        can = ALL if provider == "sandbox" else Invoice.capabilities
        command = CreatePayment(order_id, payment_id, provider, can, capture, method, "https://shop.example/")
        assert await self.applied(command, ANN) == "applied"
        return payment_id

    async def run(self) -> int:
        """Runs due tasks until none is left."""
        count = 0
        while begun := await self.tasks.run_due(CALLS):
            count += begun
        return count

    async def paid(self, order_id: UUID, method: str = "card", capture: Capture = "automatic") -> UUID:
        payment_id = await self.pays(order_id, method, capture)
        await self.run()
        return payment_id

    async def row(self, payment_id: UUID) -> dict[str, Any]:
        return dict(await self.tasks.pool.fetchrow("SELECT * FROM payments WHERE id = $1", payment_id))

    async def amounts(self, payment_id: UUID) -> Amounts:
        row = await self.row(payment_id)
        return Amounts(*(row[name] for name in AMOUNTS))

    async def status(self, payment_id: UUID) -> str:
        return str((await self.row(payment_id))["status"])

    async def verified(self) -> None:
        """The log and the tables agree, and so do the sandbox's ledger and ours."""
        await self.floor.verified()
        assert await compare(self.tasks.config, "sandbox", timedelta(days=1), settling=timedelta()) == ([], ANY)

    async def provider_s(self) -> Counter[str]:
        """What succeeded at the sandbox, by kind."""
        done: Counter[str] = Counter()
        async for report in self.sandbox.client.history(datetime.now(UTC) - timedelta(days=1)):
            for entry in report.entries:
                if entry.type.endswith("_success"):
                    done[entry.type] += entry.amount_minor
        return done

    async def hears(self, received: Any) -> str:
        """Takes a webhook as the gateway does."""
        (report,) = self.sandbox.client.parse_webhook(received.body, received.headers)
        assert report.payment_id is not None
        row = await self.row(report.payment_id)
        order_id = UUID(int=row["order_id"].int)
        command = ReportPayment(order_id, report.payment_id, report.currency, report.entries, report.provider_reference)
        return await self.applied(command, PROVIDER)

    async def events(self, subject: UUID) -> list[str]:
        """The types of the events of a payment or an order, in order."""
        rows = await self.tasks.pool.fetch("SELECT type FROM events WHERE subject = $1 ORDER BY seq", str(subject))
        return [row["type"] for row in rows]
