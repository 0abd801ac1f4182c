"""A Debian in a folder, as a container's image would be: debootstrap makes it, chroot takes steps in it."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.e2e.containerfile import Step, copy_context, run
from tests.needs import missing, program

# What the base image has: `python` and pip, and no more of Python than runs programs.
_PACKAGES: Final = ("ca-certificates", "python3", "python3-pip", "python3-venv")
_TARGETS: Final = ("--format", "$(REPO_URI) $(CODENAME)", "Created-By: Packages", "Component: main", "Origin: Debian")
# The machine's own, so that the folder reaches what the machine does.
_OF_THE_MACHINE: Final = ("/etc/resolv.conf", "/etc/hosts", "/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt")
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base(folder: Path) -> Path:
    """Makes a Debian of the machine's own release in the folder."""
    debootstrap = program("debootstrap", "debootstrap", "/usr/sbin/debootstrap")
    if os.geteuid() != 0:
        missing("debootstrap", "only root can make a Debian in a folder")
    known = run("apt-get", "indextargets", *_TARGETS).splitlines()
    if not known or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        missing("debootstrap", "no lists of Debian's packages here, or no mounts of one's own")
    mirror, release = known[0].split()
    run(debootstrap, "--variant=minbase", f"--include={','.join(_PACKAGES)}", release, folder, mirror)
    for name in map(Path, _OF_THE_MACHINE):
        if name.exists():
            shutil.copyfile(name, folder / name.relative_to("/"))
    (folder / "usr/local/bin/python").symlink_to("/usr/bin/python3")
    return folder


class Image:
    """What the steps of one stage of the Containerfile make of a base."""

    def __init__(self, base: Path, folder: Path) -> None:
        subprocess.run(["cp", "-a", "--reflink=auto", base, folder], check=True)
        self.folder = folder
        self.environment: dict[str, str] = {"PATH": _PATH}
        self.user = "0:0"
        self._directory = "/"

    def take(self, steps: Sequence[Step], others: Mapping[str, Image]) -> None:
        """Takes the steps; those that only configure how it is run are left to the caller."""
        for word, rest in steps:
            match word:
                case "WORKDIR":
                    self._directory = rest
                    self.inside(rest).mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(*shlex.split(rest), others=others)
                case "RUN":
                    run(*self.command("/bin/sh", "-ec", rest, environment=_pip_settings()))
                case "ENV":
                    self.environment |= dict(part.split("=", 1) for part in shlex.split(rest))
                case "USER":
                    self.user = rest
                case _:
                    assert word in ("FROM", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"), word

    def inside(self, path: str) -> Path:
        return self.folder / path.lstrip("/")

    def command(self, *command: str, environment: Mapping[str, str] | None = None) -> list[str]:
        """The command, run in the image as its user, in its working directory, with its environment and no other; it
        ends when the caller's does."""
        known = {"HOME": self._home(), **self.environment, **(environment or {})}
        variables = (f"{name}={value}" for name, value in known.items())
        user, folder = f"--userspec={self.user}", str(self.folder)
        within = ["chroot", user, folder, "/usr/bin/env", "-i", f"--chdir={self._directory}", *variables, *command]
        proc = shlex.join(["mount", "-t", "proc", "proc", str(self.inside("/proc"))])
        shared = shlex.join(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", str(self.inside("/dev/shm"))])
        begin = f"{proc}; {shared}; exec {shlex.join(within)}"
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", begin]

    def _home(self) -> str:
        """The user's own folder, as container engines find it."""
        users = [line.split(":") for line in self.inside("/etc/passwd").read_text().splitlines()]
        return next((each[5] for each in users if each[2] == self.user.partition(":")[0]), "/")

    def _copy(self, *words: str, others: Mapping[str, Image]) -> None:
        *options, source, target = words
        if not options:
            assert source == "."
            copy_context(self.inside(target))
            return
        (stage,) = (option.removeprefix("--from=") for option in options)
        subprocess.run(["cp", "-a", others[stage].inside(source), self.inside(target)], check=True)


def _pip_settings() -> dict[str, str]:
    """How this machine reaches a package registry."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
