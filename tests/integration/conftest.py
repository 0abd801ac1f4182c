"""Fixtures of the tests that run our code in this process against real servers."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from ops.children import end_leftovers
from ops.embedded.cluster import ValkeyCluster
from ops.embedded.server import records_folder
from tests import pace, servers
from tests.integration.archiving import Closet, closet_of, verified_in_small_partitions
from tests.integration.background import Background, background
from tests.integration.couriers import Couriers, couriers
from tests.integration.jobwork import DoJob
from tests.integration.nodes import empty
from tests.integration.restocking import Kinds
from tests.integration.shopfloor import Shopfloor
from tests.integration.smallshop import Copies, copies
from tests.integration.till import Till
from tests.payments import sandbox_here
from tests.receiver import Receiver
from tests.servers import Databases
from workers import runs
from workers.jobs.kinds import KINDS


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Shopfloor]:
    """The test's own shop floor, with four mailboxes."""
    async with Shopfloor(database_url, redis_url) as shopfloor:
        yield shopfloor


@pytest.fixture
def nothing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes small batches lock what they need, as large ones do."""
    monkeypatch.setattr(runs, "AT_ONCE_MAX_COMMANDS", 0)


@pytest.fixture(params=["at once", "holding"])
def both_ways(request: pytest.FixtureRequest) -> None:
    """Runs a test twice: with small batches first tried at once, and without that."""
    if request.param == "holding":
        request.getfixturevalue("nothing_at_once")


@pytest.fixture
async def tasks(floor: Shopfloor) -> AsyncIterator[Background]:
    """The lanes of background processes, over a shop that has tea, mugs and cups."""
    async with background(floor, task_lease_seconds=30, task_attempts_max=3) as running:
        await floor.fill(TEA=1, MUG=1, CUP=1)
        yield running


@pytest.fixture
def kind(tasks: Background, monkeypatch: pytest.MonkeyPatch) -> Kinds:
    """A kind of task that every receipt of stock schedules."""
    return Kinds(monkeypatch)


@pytest.fixture
async def jobs(floor: Shopfloor) -> AsyncIterator[Background]:
    """The lanes of background processes, over an empty shop."""
    async with background(floor, task_lease_seconds=30, task_attempts_max=3) as running:
        yield running


@pytest.fixture
def does(monkeypatch: pytest.MonkeyPatch) -> Callable[[DoJob], None]:
    """Says what a report does in this test."""
    return lambda do: monkeypatch.setitem(KINDS, "report", do)


@pytest.fixture
async def courier(floor: Shopfloor) -> AsyncIterator[Couriers]:
    """Delivers webhooks, with a short timeout."""
    async with couriers(floor, webhook_timeout_seconds=0.5) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """An endpoint that webhooks are delivered to."""
    async with Receiver() as receiving:
        yield receiving


@pytest.fixture
async def other() -> AsyncIterator[Receiver]:
    """Another endpoint."""
    async with Receiver() as receiving:
        yield receiving


@pytest.fixture(scope="session")
async def _shops_in_small_partitions(databases: Databases, _shared_redis_url: str) -> AsyncIterator[Copies]:
    async with copies(databases, _shared_redis_url, verified_in_small_partitions) as made:
        yield made


@pytest.fixture
async def closet(redis_url: str, _shops_in_small_partitions: Copies, tmp_path: Path) -> AsyncIterator[Closet]:
    """The archive, still empty, of a shop whose log is verified and followed to its end."""
    async with _shops_in_small_partitions() as shop, closet_of(shop, tmp_path / "archive") as opened:
        yield opened


@pytest.fixture
def home() -> Iterator[Path]:
    """A home for embedded servers. A server that a failed test leaves running in it is ended."""
    with servers.folder() as folder:
        yield folder
        end_leftovers(records_folder(folder), 5)


@pytest.fixture
async def till(floor: Shopfloor, tmp_path: Path) -> AsyncIterator[Till]:
    """A shop floor that takes money by a sandbox of its own."""
    async with (
        Receiver() as shop,
        sandbox_here(tmp_path, shop.url) as sandbox,
        background(floor, sandbox_port=sandbox.port, payment_timeout_seconds=20.0, task_retry_max_seconds=0.1) as tasks,
    ):
        yield Till(tasks, sandbox, shop)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ValkeyCluster]:
    with servers.folder() as home:
        running = ValkeyCluster(home, start_timeout_seconds=pace.seconds(60))
        running.start()
        try:
            yield running
        finally:
            running.stop()


@pytest.fixture
def fresh(cluster: ValkeyCluster) -> ValkeyCluster:
    """The cluster, whole and without keys."""
    empty(cluster)
    return cluster
