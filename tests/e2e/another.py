"""Another gateway beside those of a system, for what differs in its settings."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ops.ports import free_port
from tests import pace
from tests.system import System, eventually

_READY_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0


@contextmanager
def gateway(system: System, **settings: str) -> Iterator[str]:
    """Another gateway of the system with these environment variables, run as service managers run it; its URL."""
    port, home = free_port(), system.home / "another"
    own = {"PORT": str(port), "TIDEGATE_HOME": str(home), "TIDEGATE_GATEWAY_PROCESSES": "2"}
    with (
        system.log("another").open("ab") as log,
        subprocess.Popen(
            ["tidegate", "run", "gateway"],
            env={**system.environment, **own, **settings},
            cwd=system.home,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            eventually(
                "a gateway that is ready",
                lambda: process.poll() is not None or is_ready(f"http://127.0.0.1:{port}"),
                within_seconds=_READY_SECONDS,
            )
            assert process.poll() is None, system.log("another").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(pace.seconds(_STOP_SECONDS))


def is_ready(url: str) -> bool:
    """Whether who listens there is ready to serve."""
    try:
        with urllib.request.urlopen(f"{url}/health/ready") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
