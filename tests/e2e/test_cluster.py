"""The whole system on a Valkey Cluster under load: a primary is killed and its replica takes over, slots move. Nothing
that was accepted is lost, and requests that need only the other nodes still succeed.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Final

import pytest
import pytest_asyncio
from redis.crc import key_slot

from domain.ids import mailbox_of_slot, slot_of_key
from ops.embedded.cluster import ClusterNode
from runtime.mailboxes.redis_keys import LEADER_KEY, LOG_KEY, stream_key
from tests.clustered import ClusterSystem
from tests.e2e.faults_client import FaultsClient
from tests.e2e.follower import Follower
from tests.e2e.ledger import prove, stock_up
from tests.e2e.load import Load
from tests.moving import move
from tests.system import eventually, eventually_seen

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(240)]

SKUS: Final = ("KETTLE", "TEAPOT", "TRAY", "SPOON")
ORDERS: Final = 150
MAILBOXES: Final = 16
ORDERS_MEANWHILE: Final = 20
CUSTOMER: Final = "patient"
_TAKES_OVER_SECONDS: Final = 20.0


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[ClusterSystem]:
    with ClusterSystem({"TIDEGATE_ORDER_WAIT_MAX_SECONDS": "0"}) as running:
        await stock_up(running, SKUS)
        yield running
        assert not running.tracebacks()


@pytest.mark.parametrize("key", [LOG_KEY, LEADER_KEY, stream_key(0)])
async def test_a_primary_is_killed_under_load(system: ClusterSystem, key: str) -> None:
    cluster = system.cluster
    await asyncio.to_thread(cluster.wait_until_well)
    pids = system.pids()
    async with FaultsClient(system) as client, Follower(system) as follower, Load(system, SKUS) as load:
        await load.accepts(ORDERS)
        primary = await asyncio.to_thread(cluster.owner, key_slot(key.encode()))
        replica = await asyncio.to_thread(cluster.replica_of, primary)
        elsewhere = _keys_of(await asyncio.to_thread(_mailboxes_of_others, system, primary), key)
        await asyncio.to_thread(primary.kill)
        await _are_applied(client, elsewhere)
        await asyncio.to_thread(
            eventually, "a replica that took over", replica.is_primary, within_seconds=_TAKES_OVER_SECONDS
        )
        await _are_applied(client, elsewhere)
        await asyncio.to_thread(primary.start)  # until then, what the new primary has is not kept twice
        await asyncio.to_thread(cluster.wait_until_well)
        await load.accepts(ORDERS)
        await follower.catches_up()
    assert load.refusals() <= {(503, "mailboxes_unavailable")}, load.refusals()
    await prove(system, load)
    assert follower.breaks == 0, "the feed stayed open for connected clients"
    assert system.pids() == pids, "no process had to be restarted"


async def test_slots_move_under_load(system: ClusterSystem) -> None:
    """Every mailbox, what is known of the log, and who leads: to another node, and back."""
    cluster = system.cluster
    await asyncio.to_thread(cluster.wait_until_well)
    slots = {key_slot(key.encode()) for key in (LOG_KEY, LEADER_KEY, *map(stream_key, range(MAILBOXES)))}
    async with Follower(system) as follower, Load(system, SKUS) as load:
        await load.accepts(ORDERS)
        homes = {slot: await asyncio.to_thread(cluster.owner, slot) for slot in slots}
        primaries = list(dict.fromkeys(homes.values()))
        for slot, home in homes.items():
            away = primaries[primaries.index(home) - 1]
            await asyncio.to_thread(move, cluster, slot, away)
        await load.accepts(ORDERS)
        for slot, home in homes.items():
            await asyncio.to_thread(move, cluster, slot, home)
        await load.accepts(ORDERS)
        await follower.catches_up()
    assert load.refusals() <= {(503, "mailboxes_unavailable")}, load.refusals()
    await prove(system, load)
    assert follower.breaks == 0


async def test_the_next_test_finds_all_nodes(system: ClusterSystem) -> None:
    """Even those that a test has left dead, because it failed."""
    for node in system.cluster.nodes[:2]:
        node.kill()
    await asyncio.to_thread(system.make_whole)
    assert all(node.is_up() for node in system.cluster.nodes)


def _mailboxes_of_others(system: ClusterSystem, node: ClusterNode) -> Collection[int]:
    """The mailboxes that are on another node than this one."""
    owners = {mailbox: system.cluster.owner(key_slot(stream_key(mailbox).encode())) for mailbox in range(MAILBOXES)}
    return [mailbox for mailbox, owner in owners.items() if owner is not node]


def _keys_of(mailboxes: Collection[int], prefix: str) -> Iterator[str]:
    """Idempotency keys whose orders go to one of these mailboxes."""
    for number in itertools.count():
        key = f"{prefix}/{number}"
        if mailbox_of_slot(slot_of_key(f"{CUSTOMER}\n{key}"), MAILBOXES) in mailboxes:
            yield key


async def _are_applied(client: FaultsClient, keys: Iterator[str]) -> None:
    """While a node is away, orders whose mailbox is on another are accepted, applied, and answered in time."""
    placed = 0
    key = next(keys)

    async def enough() -> bool:
        nonlocal placed, key
        reply = await client.place({SKUS[0]: 1}, customer=CUSTOMER, key=key, wait=2)
        if reply.status == 201:
            placed, key = placed + 1, next(keys)
        return placed >= ORDERS_MEANWHILE

    await eventually_seen(f"{ORDERS_MEANWHILE} orders applied meanwhile", enough, within_seconds=_TAKES_OVER_SECONDS)
