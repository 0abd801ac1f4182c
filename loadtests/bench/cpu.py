"""The CPU time of the system that is measured: of all processes that serve it, and no others."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

import psutil

from loadtests.bench.plan import Measured
from loadtests.bench.targets import MILLISECONDS


def cpu_seconds(module: str = "") -> dict[int, float]:
    """The CPU time of every process that was started here, by pid: of the servers, and of the side that is measured.
    With a `module`, only of those whose command line names it, and their children."""
    found: dict[int, float] = {}
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if not module or any(module in word for word in process.cmdline()):
                for each in (process, *(process.children(recursive=True) if module else ())):
                    with suppress(psutil.NoSuchProcess):
                        times = each.cpu_times()
                        found[each.pid] = times.user + times.system
    return found


def cpu_sum(module: str) -> float:
    """The total CPU time of these processes."""
    return sum(cpu_seconds(module).values())


def cpu_an_order(what: str, before: Mapping[int, float], orders: int) -> Measured:
    """Series `CPU an order, WHAT`: what was spent since `before`, in milliseconds."""
    spent = sum(seconds - before.get(pid, 0.0) for pid, seconds in cpu_seconds().items())
    return Measured(f"CPU an order, {what}", 1000 * spent / orders, MILLISECONDS)
