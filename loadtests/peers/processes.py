"""Vendure's processes: their environment, starting and ending them. They run on this machine only."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

import msgspec

from loadtests import npm
from loadtests.bench.stage import HOST, BenchError, ending
from ops.children import Child
from ops.embedded.server import records_folder
from ops.ports import free_port

POOL_CONNECTIONS: Final = 20
READY: Final = b"ready\n"

PROGRAMS: Final = Path(__file__).parent / "vendure"
_INSTALLED: Final = Path(__file__).parents[2] / "build" / "peers" / "vendure"
_INSTALL_SECONDS: Final = 600.0
_READY_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.05


class Installed(msgspec.Struct, frozen=True):
    """Vendure and the Node that runs it. `admin` are the name and the password of the shop's administrator."""

    node: str
    folder: Path
    admin: Mapping[str, str]

    def version(self) -> str:
        """The versions of Vendure and Node."""
        package = msgspec.json.decode((self.folder / "node_modules/@vendure/core/package.json").read_bytes())
        node = subprocess.run([self.node, "--version"], capture_output=True, text=True, check=True)
        return f"Vendure {package['version']} on Node {node.stdout.strip()}"

    def environment(self, database_url: str, port: int) -> dict[str, str]:
        return {
            "PATH": f"{Path(self.node).parent}{os.pathsep}{os.defpath}",
            "HOME": str(self.folder),
            "NODE_ENV": "production",
            # Otherwise it reports to its vendor.
            "VENDURE_DISABLE_TELEMETRY": "true",
            "SHOP_HOST": HOST,
            "SHOP_PORT": str(port),
            "SHOP_DATABASE_URL": database_url,
            "SHOP_POOL": str(POOL_CONNECTIONS),
            "SHOP_ADMIN": self.admin["name"],
            "SHOP_PASSWORD": self.admin["password"],
        }


def installed() -> Installed:
    """Vendure, installed now if it is not yet. Raises BenchError."""
    node, manager = shutil.which("node"), shutil.which("npm")
    if node is None or manager is None:
        raise BenchError("Node and npm are needed to run Vendure (on Debian and Ubuntu: apt install nodejs npm)")
    try:
        npm.install(manager, PROGRAMS, _INSTALLED, seconds=_INSTALL_SECONDS)
    except npm.NpmError as error:
        raise BenchError(f"Vendure cannot be installed: {error}") from error
    return Installed(node, _INSTALLED, {"name": "bench", "password": token_urlsafe()})


@contextmanager
def running(shop: Installed, home: Path, database_url: str, *roles: Sequence[str]) -> Iterator[int]:
    """Runs a process of `shop.mjs` for each role, and yields the port that is served once all are ready. Raises
    BenchError if one exits by itself."""
    port = free_port()
    environment = shop.environment(database_url, port)
    with ExitStack() as stack:
        started = []
        for role in roles:
            output = home / f"vendure-{role[0]}.log"
            with output.open("wb") as log:
                child = Child(
                    f"vendure-{role[0]}",
                    [shop.node, "shop.mjs", *role],
                    records=records_folder(home),
                    output=log,
                    environment=environment,
                    folder=shop.folder,
                )
            stack.callback(child.stop, _STOP_SECONDS)
            started.append((child, output, int(role[1]) if len(role) > 1 else 1))
        for child, output, processes in started:
            _wait_until_ready(child, output, processes)
        yield port
        for child, output, _ in started:
            _check(child, output)


def _wait_until_ready(child: Child, output: Path, processes: int) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while output.read_bytes().count(READY) < processes:
        _check(child, output)
        if time.monotonic() > deadline:
            raise BenchError(f"{child.name} was not ready within {_READY_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)


def _check(child: Child, output: Path) -> None:
    if (code := child.returncode) is not None:
        raise BenchError(f"{child.name} ended by itself: {ending(code, output.read_bytes())}")
