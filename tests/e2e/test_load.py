"""The load tests themselves, small, against a running system: each scenario passes; a missed threshold, a piece sold
too much and an event overlooked each fail, with exit code 1; and Locust's own ways work: its web page, a master with
workers, another machine's credentials.
"""

import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

import psutil
import pytest
import pytest_asyncio

from loadtests.frame.verdict import FAILED, PASSED, SKIPPED
from tests import pace
from tests.e2e.ledger import verified
from tests.system import System

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(300)]

LOCUST: Final = str(Path(sys.executable).with_name("locust"))
SCENARIOS: Final = Path("loadtests/scenarios")
PLANTED: Final = Path("tests/e2e/planted")
TIMEOUT_SECONDS: Final = 120.0
STALL_SECONDS: Final = 3.0

# So slow may this machine be that it fails for no other reason than the one a test is about.
ANY_PACE: Final = ("--slower", "100")

# Enough to see everything a scenario does, and little enough to take seconds.
SMALL: Final = {
    "orders": ("-t", "4s", "-u", "12", "--rate", "10", "--rounds", "1"),
    "flash_sale": ("-u", "24", "--pieces", "20", "--buyers", "100", "--rate", "40", "--watchers", "4"),
    "browse": ("-t", "4s", "-u", "12", "--rate", "30"),
    "hold_and_abandon": ("-t", "6s", "-u", "12", "--rate", "20", "--pieces", "30", "--hold-seconds", "5"),
    "spike": ("-t", "6s", "-u", "16", "--rate", "5", "--calm", "2", "--peak", "1", "--recovery", "1"),
    "mixed": ("-t", "5s", "-u", "20", "--rate", "10", "--watchers", "4", "--rounds", "2"),
    "dashboards": ("-t", "5s", "-u", "46", "--rate", "4", "--watchers", "40"),
    "resume_storm": ("-t", "6s", "-u", "26", "--rate", "6", "--watchers", "20", "--every", "2"),
    "import_in_rush": ("-t", "6s", "-u", "12", "--rate", "6", "--rows", "200", "--import-after", "1"),
    "soak": ("-t", "5s", "-u", "20", "--rate", "10", "--watchers", "4", "--rounds", "2"),
}


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    with System({"TIDEGATE_HOLD_SECONDS": "5"}) as running:
        yield running
        await verified(running)


def tokens(system: System, folder: Path) -> tuple[str, ...]:
    shoppers = folder / "shoppers"
    shoppers.write_text("\n".join(system.token(subject=f"shopper-{number}") for number in range(50)))
    return ("--token", system.token("admin"), "--shopper-tokens", str(shoppers))


def command(system: System, file: Path, folder: Path, *options: str) -> list[str]:
    return [LOCUST, "-f", str(file), "--host", system.url, "--reports", str(folder), *options]


def load(system: System, file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    who = () if "--token" in options or "--email" in options else tokens(system, folder)
    return subprocess.run(
        [*command(system, file, folder, *who, *ANY_PACE, *options), "--headless", "--only-summary"],
        env=system.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(TIMEOUT_SECONDS),
    )


def outcomes(folder: Path) -> dict[str, str]:
    said = json.loads((folder / "verdict.json").read_text())
    return {each["name"]: each["outcome"] for each in said["checks"]}


def failed(folder: Path) -> list[str]:
    return [name for name, outcome in outcomes(folder).items() if outcome == FAILED]


def test_every_scenario_has_a_small_form_here() -> None:
    assert {path.stem for path in SCENARIOS.glob("[!_]*.py")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_a_scenario_passes(system: System, tmp_path: Path, name: str) -> None:
    done = load(system, SCENARIOS / f"{name}.py", tmp_path, "--verify", *SMALL[name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: PASSED" in done.stdout
    assert not failed(tmp_path)
    assert outcomes(tmp_path)["tidegate verify"] != SKIPPED
    assert ET.parse(tmp_path / "junit.xml").getroot().get("failures") == "0"


def small_sale(system: System, file: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return load(system, file, folder, *SMALL["flash_sale"], *options)


def test_a_missed_threshold_fails(system: System, tmp_path: Path) -> None:
    done = small_sale(system, SCENARIOS / "flash_sale.py", tmp_path, "--slower", "0.001")
    assert done.returncode == 1
    assert "flash_sale: FAILED" in done.stdout
    assert "p99 of OPEN buyers, from their intended start" in failed(tmp_path)
    assert all(name.startswith("p") for name in failed(tmp_path))
    assert int(ET.parse(tmp_path / "junit.xml").getroot().get("failures", "0")) == len(failed(tmp_path))


def test_one_piece_sold_too_much_fails(system: System, tmp_path: Path) -> None:
    done = small_sale(system, PLANTED / "one_too_many.py", tmp_path)
    assert done.returncode == 1
    assert failed(tmp_path) == [
        "exactly as many buyers got one as there were pieces",
        "every other buyer was told that it is sold out",
        "the log has as many orders, placed and confirmed",
    ]


def test_a_run_in_which_every_order_is_refused_fails(system: System, tmp_path: Path) -> None:
    done = load(system, PLANTED / "all_refused.py", tmp_path, *SMALL["orders"])
    assert done.returncode == 1
    assert failed(tmp_path) == ["orders told of are those in the log", "nothing valid was refused"]


def test_an_event_that_a_subscriber_overlooked_fails(system: System, tmp_path: Path) -> None:
    done = small_sale(system, PLANTED / "a_gap.py", tmp_path)
    assert done.returncode == 1
    assert failed(tmp_path) == ["no gap and no repeat at any subscriber"]


def test_a_soak_that_nobody_watched_fails(system: System, tmp_path: Path) -> None:
    watched = "what grows was watched to the end"
    good = load(system, SCENARIOS / "soak.py", tmp_path, *SMALL["soak"], "--watch", f"worker={system.pid('worker')}")
    assert good.returncode == 0, good.stdout + good.stderr
    assert outcomes(tmp_path)[watched] == PASSED
    bad = load(system, SCENARIOS / "soak.py", tmp_path, *SMALL["soak"], "--watch", "worker=the-second")
    assert bad.returncode == 1
    assert failed(tmp_path) == [watched]


def test_a_run_that_is_over_before_all_have_come_has_failed(system: System, tmp_path: Path) -> None:
    options = ("-u", "300", "-r", "1", "-t", "3s", "--rate", "5", "--rounds", "1")
    done = load(system, SCENARIOS / "orders.py", tmp_path, *options)
    assert done.returncode == 1
    assert "all users started" in failed(tmp_path)


def test_a_stall_is_not_hidden(system: System, tmp_path: Path) -> None:
    """While the gateway stands still, few requests are under way, but many people would have come. Timed from the send,
    the 95th percentile knows nothing of it; from the intended start it does."""
    command_ = command(system, SCENARIOS / "orders.py", tmp_path, *tokens(system, tmp_path), *ANY_PACE)
    options = ("-u", "6", "-t", "12s", "--rate", "20", "--rounds", "1", "--headless", "--only-summary")
    gateway = psutil.Process(system.pid("gateway"))
    with subprocess.Popen([*command_, *options], env=system.environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "All users spawned" in line:
                break
        everybody = [gateway, *gateway.children(recursive=True)]
        for each in everybody:
            each.suspend()
        try:
            time.sleep(STALL_SECONDS)
        finally:
            for each in everybody:
                each.resume()
        _, told = running.communicate(timeout=pace.seconds(TIMEOUT_SECONDS))
    assert running.returncode == 0, told
    rows = {row["row"]: row for row in json.loads((tmp_path / "verdict.json").read_text())["rows"]}
    sent, intended = rows["POST /api/v1/orders, Prefer: wait"], rows["OPEN arrival, from its intended start"]
    assert intended["p99_ms"] >= 0.8 * STALL_SECONDS * 1_000, rows
    assert intended["p95_ms"] >= 1_000, rows
    assert sent["p95_ms"] <= intended["p95_ms"] / 2, rows
