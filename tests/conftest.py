"""Fixtures for all tests: the shared servers, a whole system, and a clean environment."""

import gc
import os
import re
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import hypothesis
import pytest
from xdist.remote import Producer

from ops import ports
from ops.embedded.server import ServerError
from ops.processes import ProcessError
from tests import anew, needs, pace, servers
from tests.offline import sitecustomize as sitecustomize  # a resolver that knows no outside names
from tests.plans import PLANS_VARIABLE
from tests.scheduling import Scheduling, import_in_turn
from tests.servers import Databases
from tests.system import System

# The environment of the shell that runs the tests must not affect them.
for _name in list(os.environ):
    if (_name.startswith("TIDEGATE_") and _name not in (needs.REQUIRED_BY, PLANS_VARIABLE)) or _name in {
        "DATABASE_URL",
        "REDIS_URL",
        "PORT",
        "PROMETHEUS_MULTIPROC_DIR",
    }:
        del os.environ[_name]
# Nor may a `tidegate up` that happens to run in this checkout: the CLI would join its servers.
os.environ["TIDEGATE_HOME"] = f"{tempfile.gettempdir()}/tidegate-tests-have-no-home"


# Parallel test processes draw their servers' ports from disjoint sets.
_WORKERS_MAX = 16
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS_MAX
ports.draw_from(range(ports.LOWEST, ports.HIGHEST)[_worker::_WORKERS_MAX])

_ONLY_CAMPAIGNS: Final = re.compile(r"^pytestmark = \[?pytest\.mark\.campaign\b", re.MULTILINE)

# How fast an example runs depends on the machine; pytest's timeout ends one that hangs.
hypothesis.settings.register_profile("any pace", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any pace")
# `make campaign` runs what Hypothesis makes examples for once more, with ten times as many.
hypothesis.settings.register_profile("campaign", max_examples=10 * hypothesis.settings().max_examples)


@pytest.fixture(autouse=True)
def _settings_read_anew() -> Iterator[None]:
    with anew.settings_read_anew():
        yield


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    """This test process's Postgres, as a source of databases."""
    with servers.databases() as source:
        yield source


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """A database of the test's own, migrated and without rows."""
    with databases.migrated() as url:
        yield url


@pytest.fixture(scope="session")
def _shared_redis_url() -> Iterator[str]:
    with servers.shared_valkey() as server:
        yield server.url


@pytest.fixture
def redis_url(_shared_redis_url: str) -> str:
    """An empty Redis; the next test finds it empty again."""
    servers.empty(_shared_redis_url)
    return _shared_redis_url


@pytest.fixture
def system() -> Iterator[System]:
    """A whole Tidegate of the test's own: gateway, two workers, background, scheduler, and fully durable servers."""
    with System() as running:
        yield running


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files that only have tests of campaigns are not imported when there is none: some of their tools take long."""
    if "not campaign" not in config.option.markexpr or not collection_path.match("test_*.py"):
        return None
    return _ONLY_CAMPAIGNS.search(collection_path.read_text(encoding="utf-8")) is not None or None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Generator[None, object, object]:
    """Nothing that is collected is garbage, and it is much: neither now nor later is it searched for some."""
    gc.disable()
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1 and session.config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        files = sorted(Path(__file__).parent.rglob("test_*.py"))
        imported = [file for file in files if not pytest_ignore_collect(file, session.config)]
        import_in_turn(imported, _worker, processes)
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test's timeout, from its mark or the default, is scaled to this machine's pace."""
    mark = item.get_closest_marker("timeout")
    allowed = float(mark.args[0] if mark else item.config.getoption("timeout") or item.config.getini("timeout"))
    item.add_marker(pytest.mark.timeout(pace.seconds(allowed)), append=False)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the tail of the running systems' logs, and they are whole again for tests that share them."""
    report = yield
    if report.failed:
        for running in System.running:
            report.sections.append((f"Logs of {running.url}", running.log_tails()))
            try:
                running.make_whole()
            except (ServerError, ProcessError) as error:
                report.sections.append((f"{running.url} is not whole again", str(error)))
    return report
