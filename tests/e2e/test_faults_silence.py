"""The network silently forgets connections: readers, writers and workers continue, each after a moment at most."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack
from typing import Final

import pytest
import pytest_asyncio

from runtime.settings import Settings
from tests import pace
from tests.e2e.faults_client import FaultsClient, Reply
from tests.e2e.ledger import Ledger, stock_up, verified
from tests.proxy import Proxy
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

SKU: Final = "KETTLE"
READERS: Final = 5
ANSWER_SECONDS: Final[float] = Settings.model_fields["connection_answer_seconds"].default
# What a request takes otherwise, including opening its own connections.
REQUEST_SECONDS: Final = 1.0
GOES_ON_SECONDS: Final = 10.0


class Behind(System):
    """A system whose processes reach both servers through proxies."""

    def __init__(self) -> None:
        super().__init__()
        self._proxies = ExitStack()
        self.to_postgres = self._proxies.enter_context(Proxy(self.postgres.port))
        self.to_valkey = self._proxies.enter_context(Proxy(self.valkey.port))

    @property
    def environment(self) -> dict[str, str]:
        return {
            **super().environment,
            "DATABASE_URL": self.to_postgres.leads_to(self.postgres.url),
            "REDIS_URL": self.to_valkey.leads_to(self.valkey.url),
        }

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            self._proxies.close()

    def forget(self, *what: str) -> None:
        for name in what:
            assert getattr(self, f"to_{name}").forget(), f"nothing was connected to {name}"


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[Behind]:
    with Behind() as running:
        await stock_up(running, [SKU])
        yield running
        assert not running.tracebacks()


@pytest.mark.parametrize("what", [("postgres",), ("valkey",), ("postgres", "valkey")], ids="-".join)
async def test_five_readers_and_a_buyer_after_all_connections_died(system: Behind, what: tuple[str, ...]) -> None:
    async with FaultsClient(system) as client:
        placed = await _served(lambda: client.place({SKU: 1}, wait=20))
        assert placed.status == 201
        await eventually_seen("nobody busy", lambda: _is_calm(system), within_seconds=GOES_ON_SECONDS)
        system.forget(*what)
        for path in ("/orders", f"/orders/{placed.body['id']}", "/events", f"/inventory/{SKU}", "/products")[:READERS]:
            read = await _served(lambda path=path: client.get(path, customer=None))  # type: ignore[misc]
            assert read.status == 200, (path, read)
        accepted = await _served(lambda: client.place({SKU: 1}))
        assert accepted.status == 202, accepted
        async with Ledger(system) as ledger:
            await eventually_seen(
                "it applied", lambda: ledger.finished([accepted.body["command_id"]]), within_seconds=GOES_ON_SECONDS
            )
        assert (await client.place({SKU: 1}, wait=20)).status == 201
    await verified(system)


async def _served(ask: Callable[[], Awaitable[Reply]]) -> Reply:
    """The answer, which may not take longer than one dead connection of each kind costs."""
    begun = time.monotonic()
    reply = await ask()
    assert pace.is_within(time.monotonic() - begun - ANSWER_SECONDS, REQUEST_SECONDS)
    return reply


async def _is_calm(system: Behind) -> bool:
    """Whether all of Postgres's connections are idle, and have been for a moment."""
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE application_name LIKE 'tidegate-%' AND (state <> 'idle' OR state_change > now() - interval '0.1 s')
    """
    async with Ledger(system) as ledger:
        return bool(await ledger.connection.fetchval(query) == 0)
