"""A system whose alerts a Prometheus watches, for tests that provoke their faults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import aiohttp
import asyncpg

from runtime.database import asyncpg_dsn
from tests.e2e.ledger import verified
from tests.e2e.shop import Shop
from tests.e2e.watching import SOONER, SPEED, Prometheus, prometheus
from tests.listings import Listings
from tests.mailserver import MailServer
from tests.receiver import Receiver
from tests.system import System

MAILBOX_MAX_COMMANDS: Final = 50
GATEWAYS: Final = 2
SETTINGS: Final = {
    "TIDEGATE_GATEWAY_PROCESSES": str(GATEWAYS),
    "TIDEGATE_DATABASE_POOL_SIZE": "4",
    "TIDEGATE_HOLD_SECONDS": "4",
    "TIDEGATE_MAILBOX_MAX_COMMANDS": str(MAILBOX_MAX_COMMANDS),
    "TIDEGATE_REACTION_FAILURES_MAX": "9",
    "TIDEGATE_REACTION_RETRY_MAX_SECONDS": "2",
    "TIDEGATE_SOCKET_MAX_PER_PRINCIPAL": "100",
    "TIDEGATE_SOCKET_QUEUE_MAX_EVENTS": "5",
    "TIDEGATE_TASK_ATTEMPTS_MAX": "2",
}


class Watched(NamedTuple):
    shop: Shop
    prometheus: Prometheus
    mail: MailServer
    receiver: Receiver


@asynccontextmanager
async def watched_system() -> AsyncIterator[Watched]:
    """No alert fires in it yet, but those of slow machines; verify finds no difference in the end."""
    async with MailServer() as mail, Receiver() as receiver:
        with System({**SETTINGS, "TIDEGATE_SMTP_URL": mail.url}) as system:
            database = await asyncpg.connect(asyncpg_dsn(system.postgres.url))
            async with (
                aiohttp.ClientSession() as http,
                Listings(system) as listings,
                prometheus(system, SOONER, every_seconds=4) as watching,
            ):
                shop = Shop(system, http, database, listings)
                (await shop.staff.post("/webhooks", {"url": receiver.url, "event_types": ["order.placed"]})).ok(201)
                await _a_little_of_everything(shop)
                await watching.has_seen(5)
                assert set(await watching.firing()) <= SPEED
                yield Watched(shop, watching, mail, receiver)
            await database.close()
            await verified(system)


async def _a_little_of_everything(shop: Shop) -> None:
    """So that rates are known when the first fault comes."""
    sku = await shop.product(on_hand=1_000)
    async with shop.http.ws_connect(f"{shop.system.url}/ws?topics=log&token={shop.system.token('staff')}"):
        for _ in range(20):
            await shop.customer().placed({sku: 1})


@asynccontextmanager
async def silent_until_now(watching: Prometheus, *names: str) -> AsyncIterator[None]:
    """Alerts fire only once the block provokes them; on a slow machine, those about speed may have fired before."""
    assert not (set(names) - SPEED) & set(await watching.firing()), names
    yield
