"""`make load`: Locust against a running system. A run that did less than it was asked to has failed, and says so."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import pytest_asyncio

from loadtests import baskets
from ops.ports import free_port
from tests import pace
from tests.e2e.ledger import Ledger, verified
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

LOCUST: Final = (str(Path(sys.executable).with_name("locust")), "-f", "loadtests/locustfile.py")
RUN_SECONDS: Final = 4
TIMEOUT_SECONDS: Final = 120.0


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    with System() as running:
        yield running
        await verified(running)


def load(system: System, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LOCUST, "--headless", "--only-summary", "--host", system.url, "--rounds", "1", *options],
        env=system.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(TIMEOUT_SECONDS),
    )


def test_a_run_lasts_as_long_as_it_was_told_to_however_long_the_shelves_took(system: System) -> None:
    done = load(system, "-u", "5", "-r", "5", "-t", f"{RUN_SECONDS}s")
    assert done.returncode == 0, done.stderr
    assert "verify found no differences" in done.stderr
    assert "The run has failed" not in done.stderr


def test_a_run_with_too_few_requests_has_failed(system: System) -> None:
    done = load(system, "-u", "1", "-r", "1", "-t", f"{RUN_SECONDS}s", "--least-requests", "1000000")
    assert done.returncode == 1
    assert "The run has failed: " in done.stderr
    assert "requests were made, but at least 1000000 were expected from 1 customers." in done.stderr


def test_a_run_that_is_over_before_all_have_come_has_failed(system: System) -> None:
    done = load(system, "-u", "1000", "-r", "1", "-t", f"{RUN_SECONDS}s")
    assert done.returncode == 1
    assert "The run has failed: the run ended before all of its 1000 customers had started" in done.stderr


@pytest.mark.parametrize("lacks", ["everything", "the key"])
def test_without_the_settings_it_says_what_it_lacks(system: System, tmp_path: Path, lacks: str) -> None:
    environment = {**os.environ, "TIDEGATE_HOME": str(tmp_path)}
    if lacks == "the key":
        environment = {**system.environment, "TIDEGATE_JWT_SECRET": "not the one that the system has, by no means"}
    done = subprocess.run(
        [*LOCUST, "--headless", "--host", system.url, "-t", "1s"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(TIMEOUT_SECONDS),
    )
    assert done.returncode not in (0, None)
    assert "Locust needs the system's settings" in done.stderr
    assert "Traceback" not in done.stderr


async def test_options_on_the_web_page_take_effect(system: System) -> None:
    port = free_port()
    (sku, demand), *_ = baskets.demand(baskets.read().baskets).items()
    environment = {**system.environment, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(  # noqa: ASYNC220 - it is only started here
        [*LOCUST, "--host", system.url, "--web-host", "127.0.0.1", "--web-port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http, Ledger(system) as ledger:

            async def answers() -> bool:
                try:
                    async with http.get("/") as page:
                        return page.status == 200 and "rounds" in await page.text()
                except aiohttp.ClientError:
                    return False

            received = f"SELECT coalesce(sum((data->>'quantity')::int), 0) FROM events WHERE subject = '{sku}' AND type"
            await eventually_seen("the page", answers, within_seconds=30)
            before = await ledger.connection.fetchval(f"{received} = 'stock.received'")
            form = {"user_count": "3", "spawn_rate": "3", "host": system.url, "rounds": "2", "run_time": "3s"}
            async with http.post("/swarm", data=form) as started:
                assert (await started.json())["success"], await started.text()
            after = await ledger.connection.fetchval(f"{received} = 'stock.received'")
            assert after - before == 2 * demand
            form["host"] = f"http://127.0.0.1:{free_port()}"

            async def is_over() -> bool:
                async with http.get("/stats/requests") as answer:
                    return bool((await answer.json())["state"] == "stopped")

            await eventually_seen("the end of its run time", is_over, within_seconds=30)
            async with http.post("/swarm", data=form) as refused:
                said = await refused.json()
            assert not said["success"]
            assert "no Tidegate is ready at" in said["message"]
    finally:
        process.terminate()
        _, told = await asyncio.to_thread(process.communicate, timeout=pace.seconds(TIMEOUT_SECONDS))
    assert b"Traceback" not in told, told.decode()
