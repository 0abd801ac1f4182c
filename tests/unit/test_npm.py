"""Installing the packages of a lock file: once for each version of it, and not at all if it fails."""

from pathlib import Path

import pytest

from loadtests.npm import NpmError, install


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Lists of packages, and a program."""
    folder = tmp_path / "programs"
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        (folder / name).write_text("{}")
    (folder / "program.mjs").write_text("first")
    return folder


def fake(folder: Path, script: str) -> str:
    """A program to take for npm."""
    path = folder / "npm"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_packages_are_installed_once_for_each_version_of_their_list(tmp_path: Path, programs: Path) -> None:
    npm, folder = fake(tmp_path, 'echo "$@" >> calls'), tmp_path / "build" / "programs"
    install(npm, programs, folder, seconds=10)
    (programs / "program.mjs").write_text("second")
    install(npm, programs, folder, seconds=10)
    (called,) = (folder / "calls").read_text().splitlines()
    assert called.split()[:2] == ["ci", "--ignore-scripts"]
    assert (folder / "program.mjs").read_text() == "second"
    (programs / "package-lock.json").write_text('{"lockfileVersion": 3}')
    install(npm, programs, folder, seconds=10)
    assert len((folder / "calls").read_text().splitlines()) == 2


def test_a_failed_installation_is_tried_again(tmp_path: Path, programs: Path) -> None:
    folder = tmp_path / "build"
    install(fake(tmp_path, "true"), programs, folder, seconds=10)
    (programs / "package-lock.json").write_text('{"lockfileVersion": 3}')
    with pytest.raises(NpmError, match="npm failed: no such package"):
        install(fake(tmp_path, "echo no such package >&2; exit 1"), programs, folder, seconds=10)
    (programs / "package-lock.json").write_text("{}")  # as it was before: but who knows what is there now
    install(fake(tmp_path, "touch tried"), programs, folder, seconds=10)
    assert (folder / "tried").exists()


def test_installing_is_bounded_in_time(tmp_path: Path, programs: Path) -> None:
    with pytest.raises(NpmError, match="not done within 0 s"):
        install(fake(tmp_path, "exec sleep 60"), programs, tmp_path / "build", seconds=0.2)
