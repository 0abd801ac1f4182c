"""A shop that asks a provider about its checkouts: the provider is a stub on loopback, the background's tasks run in
this process, and the gateway's quotes are looked at as its routes do."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncEngine

from domain.addresses import Address
from domain.checkout_rates import AskRates
from domain.checkout_taxes import AskTaxes
from domain.checkouts import OpenCheckout
from domain.completion import CompleteCheckout
from domain.ids import new_id, slot_of_id
from domain.model import Actor, Wanted
from gateway.views import checkouts as views
from gateway.views.checkouts import CheckoutView, Found
from gateway.views.quoting import Quoting
from tests.integration.background import Background, outcome_of
from tests.integration.shopfloor import ANN, STAFF, Shopfloor
from tests.receiver import Answer, Receiver

AUSTIN: Final = Address("Ada Lovelace", "1 Congress Avenue", "Austin", "US", region="TX", postal_code="78701")
LINES: Final = (Wanted("MUG", 3),)
NET_MINOR: Final = 300
SECRET: Final = "of-the-provider"


class Office:
    """The provider, as a stub: what it was asked and told, and how it answers next."""

    def __init__(self, receiver: Receiver, answer: Answer) -> None:
        self.receiver = receiver
        receiver.answer = self._take
        self.answer = answer
        self.heard: list[tuple[str, str, dict[str, Any]]] = []
        """The act, its key, and what was said."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}/office"

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


class Counter:
    """What a buyer, the workers and the background do in such a shop. `asks_by` is the command that asks the provider,
    and `lane` the lane of the tasks that do."""

    def __init__(
        self,
        tasks: Background,
        office: Office,
        engine: AsyncEngine,
        *,
        asks_by: type[AskRates] | type[AskTaxes],
        lane: str,
    ) -> None:
        self.tasks = tasks
        self.floor: Shopfloor = tasks.floor
        self.office = office
        asked = tasks.config
        self.quoting = Quoting(
            b"identities", tax_provider=asked.tax_provider, delivery_provider=asked.delivery_provider
        )
        self._engine = engine
        self._asks_by = asks_by
        self._lane = lane

    def id_beside(self, other: UUID) -> UUID:
        return new_id(1_600_000_000_000, slot_of_id(other), next(self.floor.numbers) << 20)

    async def applied(self, command: Any, actor: Actor = ANN) -> str:
        """Posts a command and waits for its outcome: applied, or `rejected: code`."""
        return await outcome_of(self.floor, command, actor)

    async def opened(self, **fields: Any) -> UUID:
        """A checkout of three mugs, which cost 300, to Austin."""
        checkout_id = self.floor.new_id()
        command = OpenCheckout(checkout_id, **{"lines": LINES, "address": AUSTIN.sealed(), **fields})
        assert await self.applied(command) == "applied"
        return checkout_id

    async def look(self, checkout_id: UUID) -> tuple[CheckoutView, AskRates | AskTaxes | None]:
        """What a gateway shows of the checkout, and what it has asked."""
        found = await self._found(checkout_id)
        return found.view, self._ours(found.asks)

    async def all_asked(self, checkout_id: UUID) -> tuple[AskRates | AskTaxes, ...]:
        """All that a gateway has asked of whomever, when somebody looks at the checkout."""
        return (await self._found(checkout_id)).asks

    async def _found(self, checkout_id: UUID) -> Found:
        async with self._engine.connect() as connection:
            found = await views.find(connection, self.quoting, ANN, checkout_id)
        assert found is not None
        return found

    async def completes(self, checkout_id: UUID) -> AskRates | AskTaxes | None:
        """What a gateway has asked when somebody tries to complete the checkout."""
        async with self._engine.connect() as connection:
            found = await views.completion(connection, self.quoting, ANN, checkout_id)
        assert found is not None
        return self._ours(found.asks)

    def _ours(self, asks: tuple[AskRates | AskTaxes, ...]) -> AskRates | AskTaxes | None:
        return next((each for each in asks if isinstance(each, self._asks_by)), None)

    async def lacking(self, checkout_id: UUID) -> list[str]:
        view, _ = await self.look(checkout_id)
        return [each.code for each in view.requirements]

    async def asks(self, checkout_id: UUID) -> None:
        """Looks at the checkout, and has asked what is not known."""
        _, asked = await self.look(checkout_id)
        assert asked is not None
        assert await self.applied(asked, STAFF) == "applied"

    async def answered(self, **fields: Any) -> UUID:
        """A checkout about which the provider was asked, and has answered."""
        checkout_id = await self.opened(**fields)
        await self.asks(checkout_id)
        assert await self.run() == 1
        return checkout_id

    async def run(self) -> int:
        """Runs the provider's tasks that are due now."""
        return await self.tasks.run_due(self._lane)

    def completion(self, checkout_id: UUID, total_minor: int) -> CompleteCheckout:
        return CompleteCheckout(checkout_id, self.id_beside(checkout_id), LINES, total_minor)
