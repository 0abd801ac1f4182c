"""What `deploy/` says, judged by other people's tools. `test_deploy_debian.py` makes and runs the image."""

from __future__ import annotations

import json
import subprocess
import venv
from pathlib import Path
from typing import Final

import pytest

from tests import pace
from tests.e2e.containerfile import DEPLOY, ROOT, SECONDS, run
from tests.needs import missing, program

pytestmark = pytest.mark.campaign

REQUIRED: Final = ROOT / "tests" / "deploytools.txt"
_YAML_STYLE: Final = {
    "extends": "default",
    "rules": {
        "line-length": {"max": 120, "ignore": ["**/prometheus/tests/"]},
        "document-start": "disable",
        "braces": {"max-spaces-inside": 0},
    },
}


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
        timeout=pace.seconds(SECONDS),
    )
    if install.returncode:
        missing("deploytools", f"pip could not install what checks deploy/: {install.stderr[-500:]}")
    return folder / "bin"


@pytest.mark.timeout(SECONDS)
def test_yaml_and_kubernetes_find_nothing(tools: Path) -> None:
    run(tools / "yamllint", "--strict", "-d", json.dumps(_YAML_STYLE), DEPLOY)
    manifests = [file for file in sorted((DEPLOY / "kubernetes").glob("*.yaml")) if file.stem != "kustomization"]
    said = run(tools / "kubernetes-validate", "--strict", *manifests)
    assert said.count("passed for resource") >= len(manifests)


@pytest.mark.timeout(SECONDS)
def test_kubernetes_would_find_what_is_wrong(tools: Path, tmp_path: Path) -> None:
    wrong = (DEPLOY / "kubernetes" / "worker.yaml").read_text().replace("maxSurge", "maxSurges")
    (tmp_path / "wrong.yaml").write_text(wrong)
    assert "maxSurges" in run(tools / "kubernetes-validate", "--strict", tmp_path / "wrong.yaml", code=1)


@pytest.mark.timeout(SECONDS)
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
