"""Rolling restart of the Procfile's processes, one after another and without a gap: each is stopped only after its
successor has been started and is working.
"""

import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from ops.children import Child
from ops.connected import count_connected, listens
from ops.processes import GATEWAY, Processes, commands
from runtime.redis_url import ports
from runtime.settings import Settings

# The gateway comes last: old workers may not know what a new one accepts (see "Upgrading" in docs/operations.md).
ORDER: Final = ("worker", "background", "scheduler", GATEWAY)

READY_TIMEOUT_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


class RestartFailed(Exception):
    """A new process did not come up; the old one is still running, and the remaining ones were not restarted."""


def restart_all(
    processes: Processes, config: Settings, redis_url: str, show: Callable[[Child], None], check: Callable[[], None]
) -> None:
    """Restarts all processes. `show` is called with each new one, whose output is a pipe; `check` is called meanwhile,
    and may raise. Raises RestartFailed."""
    is_ready = _readiness(config, ports(redis_url))
    for name in ORDER:
        child = processes.start_beside(name, commands()[name], subprocess.PIPE)
        show(child)
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not is_ready[name](child):
            check()
            if child.returncode is not None or time.monotonic() > deadline:
                how = (
                    "was not ready in time" if child.returncode is None else f"ended with exit code {child.returncode}"
                )
                processes.end(child, check)
                raise RestartFailed(f"the new {name} {how}: the old one was left running")
            time.sleep(_POLL_SECONDS)
        processes.end(processes.replace(name, child), check)
        child.record_as(name)


def _readiness(config: Settings, redis_ports: Collection[int]) -> Mapping[str, Callable[[Child], bool]]:
    """How to tell that each process is working. Those that do not listen on a port must be connected to Redis."""
    return {
        GATEWAY: lambda child: listens(child, config.port),
        "worker": lambda child: count_connected(child, redis_ports) >= config.worker_processes,
        "background": lambda child: count_connected(child, redis_ports) >= config.background_processes,
        "scheduler": lambda child: count_connected(child, redis_ports) >= 1,
    }
