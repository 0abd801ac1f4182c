"""Rows altered by hand in a busy shop, and background processes killed meanwhile: the alarm names each row within
seconds, and is silent while nobody alters anything.
"""

import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Final, NamedTuple

import pytest
import pytest_asyncio

from tests import pace
from tests.e2e.faults import kill
from tests.e2e.faults_client import FaultsClient
from tests.e2e.ledger import Ledger, prove, stock_up, verified
from tests.e2e.load import Load
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

SKUS: Final = ("KETTLE", "TEAPOT")
FOUND_WITHIN_SECONDS: Final = 10.0
QUIET_ORDERS: Final = 1_500
_ALARM: Final = "verify_difference: "


class Altered(NamedTuple):
    """A row by its table and the condition that finds it, and the column that is changed to another value."""

    table: str
    where: str
    column: str
    value: str


ALTERED: Final = (
    Altered("orders", "placed_seq = (SELECT min(placed_seq) FROM orders)", "status", "'fulfilled'"),
    Altered("order_lines", "order_id = (SELECT max(id::text)::uuid FROM orders)", "quantity", "quantity + 1"),
    Altered("stock", "sku = 'KETTLE'", "on_hand", "on_hand + 1"),
    Altered("variants", "sku = 'TEAPOT'", "title", "'Cheap'"),
    Altered("products", "id = (SELECT product_id FROM variants WHERE sku = 'KETTLE')", "status", "'draft'"),
    Altered("accounts", "id = (SELECT min(id::text)::uuid FROM accounts)", "epoch", "epoch + 1"),
    Altered("commands", "seq = (SELECT max(seq) FROM commands)", "principal", "'eve'"),
    Altered("events", "seq = 2", "actor", "'eve'"),
)
_KEYS: Final = {"stock": "sku", "variants": "sku", "events": "seq", "order_lines": "order_id"}


@pytest_asyncio.fixture
async def system() -> AsyncIterator[System]:
    with System() as running:
        await stock_up(running, SKUS)
        yield running
        assert not running.tracebacks()


def _alarms(system: System) -> list[str]:
    said = system.log("background").read_text(errors="replace").splitlines()
    return [line.partition(_ALARM)[2] for line in said if _ALARM in line]


async def _metric(client: FaultsClient, name: str) -> float:
    value = await client.metric(f"tidegate_verify_{name}")
    return -1 if value is None else value


async def _is_up_to(client: FaultsClient, seq: int) -> bool:
    return await _metric(client, "seq") >= seq


async def test_a_row_altered_by_hand_in_a_busy_shop_raises_the_alarm_within_seconds(system: System) -> None:
    assert system.tidegate("demo").returncode == 0  # for an account
    async with Ledger(system) as ledger, FaultsClient(system) as client, Load(system, SKUS) as load:
        await load.accepts(QUIET_ORDERS)
        seq = await ledger.last_seq()
        await eventually_seen("all verified", lambda: _is_up_to(client, seq), within_seconds=FOUND_WITHIN_SECONDS)
        assert _alarms(system) == []
        expected, undo = [], []
        for table, where, column, value in ALTERED:
            key, before = await ledger.connection.fetchrow(
                f"SELECT {_KEYS.get(table, 'id')}, {column} FROM {table} WHERE {where}"
            )
            await ledger.connection.execute(
                f"UPDATE {table} SET {column} = {value} WHERE {_KEYS.get(table, 'id')} = $1",
                key,
            )
            expected.append(f"{table} {key}: ")
            back = f"{column} - 1" if column in value else f"'{before}'"
            undo.append((f"UPDATE {table} SET {column} = {back} WHERE {_KEYS.get(table, 'id')} = $1", key))
        altered_at = time.monotonic()

        async def all_named() -> bool:
            return all(any(alarm.startswith(name) for alarm in _alarms(system)) for name in expected)

        await eventually_seen("an alarm for each row", all_named, within_seconds=FOUND_WITHIN_SECONDS)
        assert pace.is_within(time.monotonic() - altered_at, FOUND_WITHIN_SECONDS)
        for table, *_ in ALTERED:
            assert await _metric(client, f'differences{{table="{table}"}}') == 1, table
        for statement, key in undo:
            await ledger.connection.execute(statement, key)

        async def all_right() -> bool:
            return all([await _metric(client, f'differences{{table="{each.table}"}}') == 0 for each in ALTERED])

        await eventually_seen("no difference", all_right, within_seconds=FOUND_WITHIN_SECONDS)
        assert len(_alarms(system)) == len(ALTERED)
    await prove(system, load)


async def test_a_killed_background_process_goes_on_from_where_it_was(system: System) -> None:
    async with Ledger(system) as ledger, FaultsClient(system) as client, Load(system, SKUS) as load:
        begun = await ledger.last_seq()
        await eventually_seen("the first round", partial(_is_up_to, client, begun), within_seconds=30)
        for _ in range(3):
            await load.accepts(QUIET_ORDERS // 3)
            before = await ledger.connection.fetchval("SELECT seq FROM fold_position")
            await kill(*system.background_pids())
            assert await ledger.connection.fetchval("SELECT seq FROM fold_position") >= before > 0
            seq = await ledger.last_seq()
            await eventually_seen("it goes on", partial(_is_up_to, client, seq), within_seconds=30)
        assert _alarms(system) == []
    await prove(system, load)
    await verified(system)
    newest = system.tidegate("verify", "--json")
    assert newest.returncode == 0, newest.stdout
    assert '"events_folded_before"' in newest.stdout
