"""What Postgres holds in the end, compared with what clients were told: the proof that ends every fault test."""

import asyncio
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

import asyncpg

from ops.articles import Article
from runtime.database import asyncpg_dsn
from tests.e2e.faults_client import FaultsClient
from tests.e2e.load import Load
from tests.listings import Listings
from tests.system import System, eventually_seen

APPLIED_WITHIN_SECONDS: Final = 30.0
_PLENTY: Final = 1_000_000

_OUT_OF_ORDER: Final = """
    SELECT count(*) FROM (
        SELECT seq, lag(seq) OVER (
            PARTITION BY mailbox
            ORDER BY split_part(entry_id, '-', 1)::bigint, split_part(entry_id, '-', 2)::bigint
        ) AS before
        FROM commands
    ) applied WHERE seq <= before
"""


class Ledger:
    """A connection to a system's database. An async context manager; it does not outlive the server."""

    def __init__(self, system: System) -> None:
        self._url = asyncpg_dsn(system.postgres.url)
        self.connection: asyncpg.Connection[Any]

    async def __aenter__(self) -> Self:
        self.connection = await asyncpg.connect(self._url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.connection.close()

    async def last_seq(self) -> int:
        """The last event that is committed."""
        return int(await self.connection.fetchval("SELECT last_seq FROM event_counter"))

    async def entries(self) -> dict[int, int]:
        """The number of applied entries of each mailbox."""
        return dict(await self.connection.fetch("SELECT mailbox, entries FROM mailboxes"))

    async def outcomes(self, command_ids: Iterable[str]) -> int:
        """The number of these commands that have a final outcome."""
        ids = [UUID(command_id) for command_id in command_ids]
        query = "SELECT count(*) FROM commands WHERE id = ANY($1::uuid[])"
        return int(await self.connection.fetchval(query, ids))

    async def finished(self, command_ids: Iterable[str]) -> bool:
        """Whether each of these commands has its final outcome."""
        ids = set(command_ids)
        return await self.outcomes(ids) == len(ids)


async def prove(system: System, load: Load) -> None:
    """Fails unless nothing was lost or applied twice and everything is in order, whatever the system went through."""
    assert not load.unsettled, f"{len(load.unsettled)} orders were never accepted; answers: {load.refusals()}"
    accepted = load.accepted_ids()
    assert len(accepted) == len(load.accepted), "each order has its own command"
    async with Ledger(system) as ledger:
        await eventually_seen(
            f"an outcome for each of {len(accepted)} accepted commands",
            lambda: ledger.finished(accepted),
            within_seconds=APPLIED_WITHIN_SECONDS,
        )
        rows = await ledger.connection.fetch("SELECT id, status FROM commands")
        status_of = {str(row["id"]): row["status"] for row in rows}
        assert {status_of[command_id] for command_id in accepted} == {"applied"}
        rows = await ledger.connection.fetch("SELECT id FROM orders")
        orders = {str(row["id"]) for row in rows}
        assert {placed.order_id for placed in load.accepted} <= orders, "every accepted order exists"
        applied = await ledger.connection.fetchval(
            "SELECT count(*) FROM commands WHERE type = 'PlaceOrder' AND status = 'applied'"
        )
        assert len(orders) == applied, "each applied command placed exactly one order"
        assert await ledger.connection.fetchval(_OUT_OF_ORDER) == 0, "each mailbox was applied in order"
        assert await ledger.connection.fetchval("SELECT count(*) FROM dead_letters") == 0
    await verified(system)


async def verified(system: System) -> None:
    """Fails unless `tidegate verify` finds no difference and soon no command is waiting: some come of events."""

    async def none_waits() -> bool:
        code, report = await asyncio.to_thread(system.verify)
        assert code == 0, report["differences"]
        return bool(report["counts"]["mailbox_entries_waiting"] == 0)

    await eventually_seen("no command that waits", none_waits, within_seconds=20)


async def stock_up(system: System, skus: Sequence[str], pieces: int = _PLENTY) -> None:
    """Puts the SKUs into the catalogue, and this many pieces of each into stock."""
    async with Listings(system) as listings:
        await listings.put_on_sale(*(Article(sku, f"Product {sku}", 250, "GBP") for sku in skus))
    async with FaultsClient(system) as staff:
        for sku in skus:
            received = await staff.post(f"/inventory/{sku}/receipts", {"quantity": pieces}, wait=10)
            assert received.status == 200, received
