"""Load tests in Locust's own ways: from another machine with credentials only, from its web page, and with a master and
workers.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio

from loadtests.frame.verdict import PASSED, SKIPPED
from ops.ports import free_port
from tests import pace
from tests.e2e.ledger import verified
from tests.e2e.test_load import ANY_PACE, SCENARIOS, SMALL, TIMEOUT_SECONDS, command, failed, load, outcomes, tokens
from tests.system import System, eventually_seen

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(300)]

SALE: Final = SCENARIOS / "flash_sale.py"


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    with System() as running:
        yield running
        await verified(running)


def figures(folder: Path) -> dict[str, int]:
    said: dict[str, int] = json.loads((folder / "verdict.json").read_text())["figures"]
    return said


def elsewhere(folder: Path) -> dict[str, str]:
    """The environment of a machine that knows nothing about the system."""
    return {"PATH": os.environ["PATH"], "HOME": str(folder), "TIDEGATE_HOME": str(folder / "none")}


async def test_from_another_machine_credentials_are_enough(system: System, tmp_path: Path) -> None:
    assert system.tidegate("demo").returncode == 0
    admin = {"Authorization": f"Bearer {system.token('admin')}"}
    async with aiohttp.ClientSession(system.url, headers=admin) as http:

        async def signs_in() -> bool:
            form = {"grant_type": "password", "username": "admin@tidegate.example", "password": "demo-admin"}
            async with http.post("/api/auth/token", data=form) as answer:
                return answer.status == 200

        await eventually_seen("the demo's admin", signs_in, within_seconds=20)
        who = ("--email", "admin@tidegate.example", "--shoppers", "8", *ANY_PACE, *SMALL["flash_sale"])
        done = await asyncio.to_thread(
            subprocess.run,
            [*command(system, SALE, tmp_path, *who), "--headless", "--only-summary"],
            env={**elsewhere(tmp_path), "LOAD_PASSWORD": "demo-admin"},
            capture_output=True,
            text=True,
            timeout=pace.seconds(TIMEOUT_SECONDS),
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert outcomes(tmp_path)["tidegate verify"] == SKIPPED
        async with http.get("/api/v1/keys?limit=100") as answer:
            keys = (await answer.json())["items"]
    assert len(keys) == 8 + 1 + 1  # the shoppers', the staff's, and the admin's own
    assert all(key["revoked"] for key in keys)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "say who prepares the run"),
        (("--token", "tgk_nonsense"), "with 401 invalid_token"),
        (("--token", "x", "--host", "http://127.0.0.1:9"), "no Tidegate is ready at http://127.0.0.1:9"),
    ],
)
def test_missing_credentials_are_reported_in_a_sentence(
    system: System, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    done = subprocess.run(
        [*command(system, SALE, tmp_path, *options), "--headless"],
        env=elsewhere(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(TIMEOUT_SECONDS),
    )
    assert done.returncode not in (0, None)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


async def test_runs_are_started_and_judged_on_the_web_page(system: System, tmp_path: Path) -> None:
    port = free_port()
    options = ("--web-host", "127.0.0.1", "--web-port", str(port), *ANY_PACE, *tokens(system, tmp_path))
    process = subprocess.Popen(  # noqa: ASYNC220 - it only starts here
        command(system, SALE, tmp_path, *options),
        env=system.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:

            async def says(path: str, *wanted: str) -> bool:
                try:
                    async with http.get(path) as page:
                        text = await page.text()
                        return page.status == 200 and all(each in text for each in wanted)
                except aiohttp.ClientError:
                    return False

            await eventually_seen("the page", lambda: says("/", "pieces", "buyers", "rate"), within_seconds=30)
            assert await says("/verdict", "No run has ended yet.")
            form = {"user_count": "12", "spawn_rate": "12", "host": system.url, "run_time": "60s"}
            form |= {"pieces": "7", "buyers": "30", "watchers": "2", "rate": "30"}
            for _ in range(2):
                async with http.post("/swarm", data=form) as started:
                    assert (await started.json())["success"], await started.text()
                await eventually_seen("its end", lambda: says("/stats/requests", '"stopped"'), within_seconds=60)
                await eventually_seen("its verdict", lambda: says("/verdict", "flash_sale: PASSED"), within_seconds=60)
                assert figures(tmp_path)["buyers who got one"] == 7
                (tmp_path / "verdict.json").unlink()
            form["host"] = f"http://127.0.0.1:{free_port()}"
            async with http.post("/swarm", data=form) as refused:
                answer = await refused.json()
            assert not answer["success"]
            assert "no Tidegate is ready at" in answer["message"]
    finally:
        process.terminate()
        _, told = await asyncio.to_thread(process.communicate, timeout=pace.seconds(TIMEOUT_SECONDS))
    assert b"Traceback" not in told, told.decode()


@pytest.mark.parametrize("name", ["flash_sale", "orders"])
def test_a_master_shares_the_run_among_its_workers(system: System, tmp_path: Path, name: str) -> None:
    port = str(free_port())
    file = SCENARIOS / f"{name}.py"
    at = ("--master-host", "127.0.0.1", "--master-port", port)
    workers = [
        subprocess.Popen(
            command(system, file, tmp_path / "unused", "--worker", *at),
            env=elsewhere(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    try:
        master = ("--master", "--master-bind-host", "127.0.0.1", "--master-bind-port", port, "--expect-workers", "2")
        done = load(system, file, tmp_path, "--verify", *master, *SMALL[name])
        assert done.returncode == 0, done.stdout + done.stderr
        for worker in workers:  # the master tells them to quit
            worker.wait(pace.seconds(60))
    finally:
        for worker in workers:
            worker.kill()
        told = [worker.communicate()[0].decode() for worker in workers]
    assert not failed(tmp_path)
    for each in told:
        assert "Traceback" not in each
    seen: dict[str, Any] = figures(tmp_path)
    if name == "flash_sale":
        assert seen["buyers who got one"] + seen["told: insufficient_stock"] == 100
        assert seen["subscribers"] == 4
    else:
        assert seen["orders placed"] > 0


def test_a_system_of_its_own_is_started_and_reports_are_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("tidegate")), "load", "flash_sale", *SMALL["flash_sale"], *ANY_PACE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(TIMEOUT_SECONDS),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "build" / "load" / "flash_sale"
    written = {path.name for path in folder.iterdir()}
    assert written >= {"report.html", "locust_stats.csv", "locust_stats_history.csv", "verdict.json", "junit.xml"}
    assert not failed(folder)
    assert outcomes(folder)["tidegate verify"] == PASSED
