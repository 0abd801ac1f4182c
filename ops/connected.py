"""The TCP connections of a child process and its descendants, according to the system."""

from collections.abc import Callable, Collection
from contextlib import suppress
from math import inf
from typing import Any

import psutil

from ops.children import Child


def listens(child: Child, port: int) -> bool:
    """Whether one of these processes listens on this port; True if the system does not say."""
    return _count(child, lambda each: each.status == psutil.CONN_LISTEN and each.laddr.port == port) > 0


def count_connected(child: Child, ports: Collection[int]) -> float:
    """How many connections they have to servers on these ports; infinity if the system does not say."""
    return _count(
        child, lambda each: each.status == psutil.CONN_ESTABLISHED and each.raddr and each.raddr.port in ports
    )


def _count(child: Child, wanted: Callable[[Any], Any]) -> float:
    found = 0
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(child.pid)
        for each in (process, *process.children(recursive=True)):
            try:
                found += any(map(wanted, each.net_connections("tcp")))
            except psutil.AccessDenied:
                return inf
    return found
