"""A test process that is killed takes its servers with it."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from tests.system import eventually

_ROOT: Final = Path(__file__).parents[2]

_TEST_PROCESS: Final = """
import time
from tests import servers

with servers.shared_valkey() as server:
    print(server.pid, server.home, flush=True)
    time.sleep(60)
"""


def test_a_killed_test_process_leaves_nothing_behind() -> None:
    command = [sys.executable, "-c", _TEST_PROCESS]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        pid, home = killed.stdout.readline().split()
        assert _runs(int(pid))
        killed.kill()
    eventually("the end of its server", lambda: not _runs(int(pid)), within_seconds=10)
    eventually("its home removed", lambda: not Path(home).exists(), within_seconds=10)


def _runs(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False
