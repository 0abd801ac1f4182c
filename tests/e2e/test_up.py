"""`tidegate up`, as a person runs it: from nothing to an order placed with the printed `curl`, and back to nothing."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import psutil
import pytest

from ops.ports import free_port
from ops.processes import commands
from tests import pace, servers
from tests.servers import Databases
from tests.system import eventually

_TIDEGATE: Final = str(Path(sys.executable).with_name("tidegate"))
_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0


class Up:
    """One `tidegate up`, and everything it has printed so far."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.port = free_port()
        self.lines: list[str] = []
        self.begun = time.monotonic()
        self.process = subprocess.Popen(
            [_TIDEGATE, "up"],
            env={**os.environ, "TIDEGATE_HOME": str(home), "PORT": str(self.port), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str) -> None:
        eventually(
            f"{text!r} in the output of `tidegate up`, which was\n{self.output}\nand then",
            lambda: text in self.output or self.process.poll() is not None,
            within_seconds=_READY_SECONDS,
        )
        assert text in self.output, self.output

    def wait_for_more(self, text: str, seen: int) -> None:
        """Waits until it was printed once more than so often."""
        eventually(f"{text!r} once more", lambda: self.output.count(text) > seen, within_seconds=_READY_SECONDS)

    def wait_until_ready(self) -> float:
        """Seconds from its start to the whole banner."""
        self.wait_for("Ctrl-C stops everything")
        return time.monotonic() - self.begun

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ends it, and returns its exit code."""
        self.process.send_signal(how)
        return self.wait_ended()

    def wait_ended(self) -> int:
        code = self.process.wait(pace.seconds(_STOP_SECONDS))
        self._reader.join(pace.seconds(_STOP_SECONDS))
        return code

    def curl(self, idempotency_key: str | None = None) -> dict[str, object]:
        """Runs the `curl` that was printed, as if pasted, and returns the answer."""
        command = next(line for line in self.lines if line.startswith("curl "))
        if idempotency_key is not None:
            command = command.replace("curl ", f"curl -H 'Idempotency-Key: {idempotency_key}' ", 1)
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, text=True, check=True, timeout=pace.seconds(30)
        )
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def tries_to_order(self) -> dict[str, object]:
        """The same once more; nothing while no order comes of it."""
        order = self.curl()
        return order if order.get("status") == "placed" else {}

    def tidegate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another command, which finds it by its home."""
        return subprocess.run(
            [_TIDEGATE, *arguments],
            env={**os.environ, "TIDEGATE_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=pace.seconds(60),
        )

    def family(self) -> list[psutil.Process]:
        """It and every process it has started, directly or not."""
        leader = psutil.Process(self.process.pid)
        return [leader, *leader.children(recursive=True)]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home; whatever still runs in it when the test ends, is ended."""
    with servers.folder() as folder:
        yield folder
        for process in _running_in(folder):
            process.kill()


def _running_in(home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["environ", "cmdline"]):
        environment: Mapping[str, str] = process.info["environ"] or {}
        names_it = any(str(home) in argument for argument in process.info["cmdline"] or [])
        if environment.get("TIDEGATE_HOME") == str(home) or names_it:
            found.append(process)
    return found


def _ended(processes: list[psutil.Process]) -> bool:
    return all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in processes)


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
    assert first.stop(signal.SIGINT) == 0
    assert first.lines[-1] == "Stopped."
    assert _ended(family)
    assert _running_in(home) == []

    second = Up(home)
    second_seconds = second.wait_until_ready()
    # Shown by `pytest -rP`; the bound of 5 s is for a machine that does nothing else.
    print(f"ready after {first_seconds:.1f} s from nothing, after {second_seconds:.1f} s the second time")  # noqa: T201
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
    assert _running_in(home) == []


@pytest.mark.campaign
def test_other_commands_find_its_servers_and_it_ends_when_a_process_does(home: Path) -> None:
    running = Up(home)
    running.wait_until_ready()
    verified = running.tidegate("verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr

    family = running.family()
    scheduler = next(process for process in family if "scheduler" in process.cmdline())
    scheduler.kill()

    assert running.wait_ended() == 1
    assert "Error: scheduler ended by itself, with exit code -9" in running.output
    assert _ended(family)


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_server_that_is_killed_is_started_again_with_its_data(home: Path, name: str) -> None:
    running = Up(home)
    running.wait_until_ready()
    order = running.curl()
    title = name.title()
    for _ in range(2):
        pid = json.loads((home / "run" / f"{name}.json").read_text())["pid"]
        os.kill(pid, signal.SIGKILL)
        seen = running.output.count(f"{title} exited unexpectedly (SIGKILL); it was restarted with its data after")
        running.wait_for_more(f"{title} exited unexpectedly (SIGKILL); it was restarted with its data after", seen)
    again = eventually("an order placed", running.tries_to_order, within_seconds=20)
    assert again["status"] == "placed"
    assert again["id"] != order["id"]
    verified = running.tidegate("verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["counts"]["orders"] >= 2
    assert running.stop() == 0
    assert _running_in(home) == []


@pytest.mark.campaign
def test_after_a_kill_the_next_one_ends_what_was_left_running(home: Path) -> None:
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
    assert _ended(left)
    assert following.curl()["id"] != order["id"]
    assert following.stop() == 0


@pytest.mark.campaign
@pytest.mark.parametrize("moment", ["✓ Postgres", "✓ Valkey", "✓ Database"])
def test_a_signal_while_it_starts_stops_what_has_been_started(home: Path, moment: str) -> None:
    starting = Up(home)
    starting.wait_for(moment)
    family = starting.family()
    assert starting.stop() == 0, starting.output
    assert _ended(family)
    assert _running_in(home) == []
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
def test_with_servers_given_none_is_embedded(home: Path, databases: Databases, redis_url: str) -> None:
    with databases.empty() as database_url:
        running = Up(home, DATABASE_URL=database_url, REDIS_URL=redis_url)
        running.wait_until_ready()
        assert running.curl()["status"] == "placed"
        assert "✓ Postgres" not in running.output
        assert not (home / "postgres").exists()
        assert running.stop() == 0


@pytest.mark.campaign
def test_over_a_database_begun_anew_and_a_redis_that_stayed_the_demo_is_there(
    home: Path, databases: Databases, redis_url: str
) -> None:
    """What Redis remembers speaks of a log that is gone: it is said so, and no used key keeps anything from coming."""
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
            [_TIDEGATE, "verify", "--json"],
            env={**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url},
            capture_output=True,
            text=True,
            check=False,
            timeout=pace.seconds(60),
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert second.stop() == 0
