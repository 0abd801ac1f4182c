"""`tidegate up`, as a person runs it: from nothing to an order placed with the printed `curl`, and back to nothing."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from ops.processes import commands
from tests import pace
from tests.e2e.up import TIDEGATE, Up, all_ended, new_home, running_in
from tests.servers import Databases

# Of which half a second is Postgres's, for its checkpoint.
IDLE_STOP_SECONDS: Final = 4.0


@pytest.fixture
def home() -> Iterator[Path]:
    """A home. Whatever still runs in it when the test ends is stopped."""
    with new_home() as folder:
        yield folder


@pytest.mark.campaign
def test_from_nothing_to_an_order_and_back_with_the_data_kept(home: Path) -> None:
    first = Up(home)
    first_seconds = first.wait_until_ready()
    for title in ("Postgres", "Valkey", "Database", "Processes", "Demo"):
        assert re.search(rf"^✓ {title} .* \d+\.\d s$", first.output, re.MULTILINE), first.output
    for address in (f"http://127.0.0.1:{first.port}/api/docs", f"http://127.0.0.1:{first.port}/metrics"):
        assert address in first.output
    order = first.curl()
    assert order["status"] == "placed"
    assert order["customer_id"] == "demo-customer"
    family = first.family()
    begun = time.monotonic()
    assert first.stop(signal.SIGINT) == 0
    stop_seconds = time.monotonic() - begun
    assert first.lines[-1] == "Stopped."
    assert all_ended(family)
    assert running_in(home) == []

    second = Up(home)
    second_seconds = second.wait_until_ready()
    # Shown by `pytest -rP`; the target of 5 s is for an otherwise idle machine.
    print(  # noqa: T201
        f"ready after {first_seconds:.1f} s from nothing, after {second_seconds:.1f} s the second time;"
        f" stopped after {stop_seconds:.1f} s"
    )
    assert pace.is_within(stop_seconds, IDLE_STOP_SECONDS)
    assert "Demo" not in second.output
    token = re.search(r"Staff token[^\n]*\n(\S+)", second.output)
    assert token
    kept = subprocess.run(
        [
            "curl",
            "-sS",
            f"http://127.0.0.1:{second.port}/api/v1/orders/{order['id']}",
            "-H",
            f"Authorization: Bearer {token[1]}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=pace.seconds(30),
    )
    assert json.loads(kept.stdout) == order
    assert second.stop(signal.SIGTERM) == 0
    assert running_in(home) == []


@pytest.mark.campaign
def test_a_second_ctrl_c_waits_for_nothing(home: Path) -> None:
    running = Up(home)
    running.wait_until_ready()
    token = re.search(r"Bearer (\S+?)'", running.output)
    assert token
    head = f"POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token[1]}\r\n"
    with socket.create_connection(("127.0.0.1", running.port)) as unfinished:
        unfinished.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
        running.curl()
        running.process.send_signal(signal.SIGINT)
        time.sleep(1.5)  # sooner it would be the same request
        assert running.process.poll() is None, "it waits for the rest of the order"
        begun = time.monotonic()
        assert running.stop(signal.SIGINT) == 0
        assert pace.is_within(time.monotonic() - begun, IDLE_STOP_SECONDS)
    assert running_in(home) == []


@pytest.mark.campaign
def test_other_commands_find_its_servers(home: Path) -> None:
    running = Up(home)
    running.wait_until_ready()
    verified = running.tidegate("verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    examined = running.tidegate("doctor", "--json")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    checks = {each["check"]: each for each in json.loads(examined.stdout)["checks"]}
    assert checks["gateway"]["said"].startswith(f"answers at 127.0.0.1:{running.port}")
    assert {each["level"] for each in checks.values()} == {"ok", "warning"}
    assert running.stop() == 0


@pytest.mark.campaign
def test_a_process_that_cannot_be_kept_running_ends_it_and_is_named(home: Path) -> None:
    running = Up(home)
    running.wait_until_ready()
    family = running.family()
    killed = -1
    while running.process.poll() is None:
        pid = running.pid("scheduler")
        if pid not in (None, killed):
            os.kill(pid, signal.SIGKILL)
            killed = pid
    assert running.wait_ended() == 1
    assert (
        "Error: Scheduler cannot be kept running: it exited 6 times within 60 s, the last time with: SIGKILL"
        in running.output
    )
    assert all_ended(family)
    assert running_in(home) == []


@pytest.mark.campaign
def test_after_a_kill_the_next_one_stops_what_was_left_running(home: Path) -> None:
    killed = Up(home)
    killed.wait_until_ready()
    order = killed.curl()
    left = killed.family()[1:]
    assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
    assert any(process.is_running() for process in left)

    following = Up(home, PORT=str(killed.port))
    following.wait_until_ready()
    for name in (*commands(), "valkey", "postgres"):
        assert f"Ended {name}, which a killed `tidegate up` had left running" in following.output
    assert all_ended(left)
    assert following.curl()["id"] != order["id"]
    assert following.stop() == 0


@pytest.mark.campaign
@pytest.mark.parametrize("moment", ["✓ Postgres", "✓ Valkey", "✓ Database"])
def test_a_signal_while_it_starts_stops_what_has_been_started(home: Path, moment: str) -> None:
    starting = Up(home)
    starting.wait_for(moment)
    family = starting.family()
    assert starting.stop() == 0, starting.output
    assert all_ended(family)
    assert running_in(home) == []
    assert list((home / "run").iterdir()) == []


@pytest.mark.campaign
def test_a_taken_port_is_a_clear_error_and_nothing_is_started(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = Up(home, PORT=str(port))
        assert refused.wait_ended() == 1
    assert f"Error: port {port} is taken: set PORT to another" in refused.output
    assert "Postgres" not in refused.output


@pytest.mark.campaign
def test_a_second_one_in_the_same_home_is_refused(home: Path) -> None:
    running = Up(home)
    running.wait_for("✓ Postgres")
    refused = Up(home)
    assert refused.wait_ended() == 1
    assert "another `tidegate up` is running in" in refused.output
    assert running.stop() == 0


@pytest.mark.campaign
def test_with_external_servers_none_is_embedded(home: Path, databases: Databases, redis_url: str) -> None:
    with databases.empty() as database_url:
        running = Up(home, DATABASE_URL=database_url, REDIS_URL=redis_url)
        running.wait_until_ready()
        assert running.curl()["status"] == "placed"
        assert "✓ Postgres" not in running.output
        assert not (home / "postgres").exists()
        assert running.stop() == 0


@pytest.mark.campaign
def test_the_demo_is_loaded_into_a_new_database_beside_an_old_redis(
    home: Path, databases: Databases, redis_url: str
) -> None:
    """Redis remembers a log that no longer exists: `up` says so, and no used idempotency key keeps the demo out."""
    with databases.empty() as database_url:
        first = Up(home, DATABASE_URL=database_url, REDIS_URL=redis_url)
        first.wait_until_ready()
        order = first.curl("used-before")
        assert order["status"] == "placed"
        assert first.curl("used-before") == order
        assert first.stop() == 0
    with databases.empty() as database_url:
        second = Up(home, DATABASE_URL=database_url, REDIS_URL=redis_url)
        second.wait_until_ready()
        assert "Redis and Postgres disagreed on what is applied" in second.output
        assert re.search(r"Demo +loaded", second.output)
        again = second.curl("used-before")
        assert again["status"] == "placed"
        assert again["id"] != order["id"]
        verified = subprocess.run(
            [TIDEGATE, "verify", "--json"],
            env={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url},
            capture_output=True,
            text=True,
            check=False,
            timeout=pace.seconds(60),
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert second.stop() == 0
