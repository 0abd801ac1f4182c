"""What tests do to the nodes of a cluster, and ask of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from redis.crc import key_slot

from ops.embedded.cluster import ClusterNode, ValkeyCluster


def empty(cluster: ValkeyCluster) -> None:
    """Waits until the cluster is whole, and takes all keys and scripts from it."""
    cluster.wait_until_well()
    for node in cluster.nodes:
        if node.is_primary():
            node.ask("FLUSHALL")
            node.ask("SCRIPT", "FLUSH")


@contextmanager
def paused(node: ClusterNode) -> Iterator[None]:
    """The node is there and says nothing. Not for long, or a replica takes over."""
    os.kill(node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(node.pid, signal.SIGCONT)


@contextmanager
def killed(node: ClusterNode) -> Iterator[None]:
    """The node is gone, and comes back before a replica has taken over."""
    node.kill()
    try:
        yield
    finally:
        node.start()


def slot_of(key: str) -> int:
    return key_slot(key.encode())


def owner_of(cluster: ValkeyCluster, key: str) -> ClusterNode:
    return cluster.owner(slot_of(key))


def another(cluster: ValkeyCluster, node: ClusterNode) -> ClusterNode:
    """A primary that is not this one."""
    return next(each for each in cluster.nodes if each is not node and each.is_primary())
