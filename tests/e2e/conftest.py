"""The shop that the API's tests share, and the proof after each module that they left it consistent."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp
import asyncpg
import pytest

from runtime.database import asyncpg_dsn
from tests.e2e.catalogue import Catalogue
from tests.e2e.shop import Shop
from tests.listings import Listings
from tests.system import System

# Two gateways share the port, so what must hold between requests must also hold between processes. Small bounds are
# quickly reached.
SHOP_SETTINGS: Final = MappingProxyType(
    {
        "TIDEGATE_GATEWAY_PROCESSES": "2",
        # All tests come from one address.
        "TIDEGATE_GUESS_MAX_PER_ADDRESS": "10000",
        "TIDEGATE_REGISTRATIONS_MAX_PER_ADDRESS": "10000",
        "TIDEGATE_GUEST_ORDERS_MAX_PER_ADDRESS": "10000",
        "TIDEGATE_WAIT_MAX_REQUESTS": "60",
        "TIDEGATE_PAGE_MAX_ROWS": "20",
        "TIDEGATE_IMPORT_WINDOW_ROWS": "40",
        "TIDEGATE_EVENTS_PAGE_MAX": "50",
        "TIDEGATE_SOCKET_MAX_CONNECTIONS": "8",
        "TIDEGATE_SOCKET_MAX_PER_PRINCIPAL": "3",
        "TIDEGATE_SOCKET_MAX_PER_GUEST": "1",
        "TIDEGATE_SOCKET_QUEUE_MAX_EVENTS": "100",
        "TIDEGATE_SOCKET_AUTHENTICATE_SECONDS": "1",
        "TIDEGATE_SOCKET_HEARTBEAT_SECONDS": "0.5",
    }
)

_STATED: Final = "SELECT name FROM terms WHERE num_nonnulls(taxes, method, promotion, price_list, purchase_limit) > 0"


# They read metrics again and again, of which there are more with every route and answer that other tests try.
_IN_A_YOUNG_SHOP: Final = ("test_metrics.py", "test_metrics_feed.py", "test_ws_bounds.py", "test_api_payments.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those files come first. The sort is stable."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent != here or item.path.name not in _IN_A_YOUNG_SHOP)


@pytest.fixture(scope="package")
async def _open_shop() -> AsyncIterator[Shop]:
    """Open until the last of these tests: idle processes are not free, and other tests are still to come."""
    with System(SHOP_SETTINGS, sandbox=True) as system:
        database = await asyncpg.connect(asyncpg_dsn(system.postgres.url))
        # One connection per request, so that concurrent requests reach both gateways.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        try:
            async with aiohttp.ClientSession(connector=connector) as http, Listings(system) as listings:
                yield Shop(system, http, database, listings)
        finally:
            await database.close()


@pytest.fixture(scope="module")
def shop(_open_shop: Shop) -> Iterator[Shop]:
    """A running Tidegate. After the module's last test every table must agree with the log, and the gateway must have
    logged no traceback. Terms would concern the orders of the next module: none may be left."""
    log = _open_shop.system.log("gateway")
    seen = log.stat().st_size
    yield _open_shop
    assert not _open_shop.system.postgres.psql(_STATED)
    code, found = _open_shop.system.verify()
    assert code == 0, found
    assert b"Traceback" not in log.read_bytes()[seen:]


@pytest.fixture
def catalogue(shop: Shop) -> Catalogue:
    """The shop's catalogue, as an admin writes it."""
    return Catalogue(shop)
