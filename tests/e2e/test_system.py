"""A test's own system: it runs, survives what fault tests do to it, and leaves nothing behind."""

import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest

from ops import processes
from ops.processes import ProcessError
from tests import pace
from tests.system import System, eventually


def _is_ready(system: System) -> bool:
    try:
        with urllib.request.urlopen(f"{system.url}/health/ready", timeout=pace.seconds(5)) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def _run(*command: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m ops.system COMMAND...`; terminated if the test has not waited for its end."""
    running = subprocess.Popen(
        [sys.executable, "-m", "ops.system", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with running:
        try:
            yield running
        finally:
            running.terminate()


@pytest.mark.campaign
def test_a_system_outlives_its_workers_and_servers(system: System) -> None:
    eventually("two workers", lambda: len(system.worker_pids()) == 2, within_seconds=10)
    killed = system.kill_worker()
    eventually(
        "another worker in its place",
        lambda: len(system.worker_pids()) == 2 and killed not in system.worker_pids(),
        within_seconds=10,
    )
    paused = psutil.Process(system.pause_worker())
    system.resume(paused.pid)
    eventually("the worker continuing", lambda: paused.status() != psutil.STATUS_STOPPED, within_seconds=5)

    for server in (system.valkey, system.postgres):
        server.kill()
        server.start()
    eventually("a gateway that is ready again", lambda: _is_ready(system), within_seconds=20)

    for server in (system.valkey, system.postgres):
        server.kill()
    for name in ("gateway", "worker"):
        system.stop_process(name)
    assert not _is_ready(system)
    system.make_whole()
    assert _is_ready(system)
    eventually("two workers again", lambda: len(system.worker_pids()) == 2, within_seconds=10)

    code, found = system.verify()
    assert code == 0, found


@pytest.mark.campaign
def test_it_stops_a_stopped_worker_too() -> None:
    with System() as system:
        paused = system.pause_worker()
        family = [psutil.Process(system.pid(name)) for name in processes.commands()]
        servers = [psutil.Process(server.pid) for server in (system.postgres, system.valkey)]
    assert not psutil.pid_exists(paused)
    assert not any(process.is_running() for process in (*family, *servers))
    assert not system.home.exists()


@pytest.mark.campaign
def test_a_command_is_run_against_a_system_and_its_exit_code_returned() -> None:
    look = (
        "import os, sys, urllib.request\n"
        "print(urllib.request.urlopen(sys.argv[1]).status, os.environ['TIDEGATE_HOME'])\n"
        "sys.exit(7)"
    )
    with _run(sys.executable, "-c", look, "{url}/health/ready") as running:
        output, _ = running.communicate(timeout=pace.seconds(60))
    assert running.returncode == 7, output
    status, home = output.split()[-2:]
    assert status == "200"
    assert not Path(home).exists()


@pytest.mark.campaign
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_and_the_system(how: signal.Signals) -> None:
    with _run(sys.executable, "-c", "import time; print('at work', flush=True); time.sleep(600)") as running:
        assert running.stdout is not None
        assert any("at work" in line for line in running.stdout)
        family = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(how)
        running.communicate(timeout=pace.seconds(60))
    assert running.returncode == 130
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)


class _Ready(BaseHTTPRequestHandler):
    """A foreign gateway that is ready."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Does nothing."""


@pytest.mark.campaign
def test_a_foreign_gateway_on_its_port_is_not_taken_for_its_own() -> None:
    system = System()
    with ThreadingHTTPServer(("127.0.0.1", system.port), _Ready) as other, ThreadPoolExecutor(1) as thread:
        thread.submit(other.serve_forever)
        try:
            with pytest.raises(ProcessError, match="gateway exited while starting"):
                system.start()
        finally:
            other.shutdown()
