"""Fixtures for all tests: the shared servers, a whole system, and a clean environment."""

import os
import tempfile
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from ops import ports
from runtime.settings import settings
from tests import needs, pace, servers
from tests.offline import sitecustomize as sitecustomize  # a resolver without names outside
from tests.plans import PLANS_VARIABLE
from tests.servers import Databases
from tests.system import System

# What the shell that runs the tests is set up for is not what they are about.
for _name in list(os.environ):
    if (_name.startswith("TIDEGATE_") and _name not in (needs.REQUIRED_BY, PLANS_VARIABLE)) or _name in {
        "DATABASE_URL",
        "REDIS_URL",
        "PORT",
        "PROMETHEUS_MULTIPROC_DIR",
    }:
        del os.environ[_name]
# Nor is a `tidegate up` that happens to run in this checkout, whose servers the CLI would join.
os.environ["TIDEGATE_HOME"] = f"{tempfile.gettempdir()}/tidegate-tests-have-no-home"


# Servers of test processes side by side never meet on a port.
_WORKERS_MAX = 16
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS_MAX
ports.draw_from(range(ports.LOWEST, ports.HIGHEST)[_worker::_WORKERS_MAX])

# How fast an example is, depends on the machine; pytest's timeout ends what hangs.
hypothesis.settings.register_profile("any pace", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("any pace")


@pytest.fixture(autouse=True)
def _settings_read_anew() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


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


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test has the seconds of its mark, or those of all, at this machine's pace."""
    mark = item.get_closest_marker("timeout")
    allowed = float(mark.args[0] if mark else item.config.getoption("timeout") or item.config.getini("timeout"))
    item.add_marker(pytest.mark.timeout(pace.seconds(allowed)), append=False)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what the running systems said last."""
    report = yield
    if report.failed:
        for running in System.running:
            report.sections.append((f"Logs of {running.url}", running.log_tails()))
    return report
