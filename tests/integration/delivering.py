"""A shop whose live delivery rates a provider says: see `counter`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from aiohttp import web
from pydantic import SecretStr

from domain.checkout_rates import AskRates
from domain.quote.terms.deliveries import Method, Rate
from domain.terms import METHOD, StateTerms, part_name
from runtime.engine import create_engine
from tests.integration.background import background
from tests.integration.counter import SECRET, Counter, Office
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.receiver import Answer, Receiver
from workers.tasks.kinds import RATES

VAN: Final = Method(UUID(int=7), "Van", live=True)
POST: Final = Method(UUID(int=8), "Post", rates=(Rate("GBP", 40),))
VAN_MINOR: Final = 112
"""A base of 100, and 4 for each mug."""


async def weighs(request: web.Request) -> web.StreamResponse:
    """Answers as a provider that knows its business."""
    said = await request.json()
    price_minor = 100 + 4 * sum(part["quantity"] for part in said["parts"])
    rate = {"currency": said["currency"], "price_minor": price_minor}
    return web.json_response({"rates": [{"method_id": method["id"], **rate} for method in said["methods"]]})


def rate(price_minor: int = VAN_MINOR, *, method_id: UUID = VAN.id, currency: str = "GBP") -> dict[str, Any]:
    """A rate, as providers say it."""
    return {"method_id": str(method_id), "currency": currency, "price_minor": price_minor}


def says(*rates: dict[str, Any], seconds: float | None = None) -> Answer:
    """Answers every question with these rates, good for so long."""

    async def answer(request: web.Request) -> web.StreamResponse:
        until = None if seconds is None else (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        return web.json_response({"rates": list(rates), "expires_at": until})

    return answer


@asynccontextmanager
async def depot(
    floor: Shopfloor, receiver: Receiver, *, provider: str = "remote", **settings: Any
) -> AsyncIterator[Counter]:
    """A shop that sends by van, at the rates that the stub says as this provider, and by post."""
    floor.delivery_provider = provider
    office = Office(receiver, weighs)
    engine = create_engine(floor.database_url, pool_size=2)
    asked = {"delivery_provider": provider, "delivery_url": office.url, "delivery_secret": SecretStr(SECRET)}
    try:
        async with background(floor, **asked, **settings) as tasks:
            made = Counter(tasks, office, engine, asks_by=AskRates, lane=RATES)
            await floor.fill(MUG=50)
            for method in (VAN, POST):
                stated = StateTerms(part_name(METHOD, method.id), method=method)
                assert await made.applied(stated, STAFF) == "applied"
            yield made
    finally:
        await engine.dispose()
