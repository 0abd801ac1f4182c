"""Moving a slot of a cluster from one node to another, step by step, as resharding tools do it."""

from __future__ import annotations

from typing import Final

from ops.embedded.cluster import ClusterNode, ValkeyCluster

_KEYS_AT_ONCE: Final = 100
_MIGRATE_MILLISECONDS: Final = 5_000


class Move:
    """The move of one slot; `begin`, `take` and `end` in this order."""

    def __init__(self, cluster: ValkeyCluster, slot: int, to: ClusterNode) -> None:
        self._cluster = cluster
        self._slot = slot
        self._from = cluster.owner(slot)
        self._to = to

    def begin(self) -> None:
        """From now on, keys that are not there are asked for at the new node."""
        self._to.ask("CLUSTER", "SETSLOT", self._slot, "IMPORTING", self._from.identity)
        self._from.ask("CLUSTER", "SETSLOT", self._slot, "MIGRATING", self._to.identity)

    def keys(self) -> list[str]:
        """The slot's keys that are still at the old node."""
        return [key.decode() for key in self._from.ask("CLUSTER", "GETKEYSINSLOT", self._slot, _KEYS_AT_ONCE)]

    def take(self, *keys: str) -> None:
        """Moves these keys."""
        self._from.ask(
            *("MIGRATE", "127.0.0.1", self._to.port, "", 0, _MIGRATE_MILLISECONDS),
            *("AUTH", self._to.password, "KEYS", *keys),
        )

    def end(self) -> None:
        """Moves the keys that are left, and makes the slot the new node's."""
        while keys := self.keys():
            self.take(*keys)
        for node in (self._to, self._from):
            node.ask("CLUSTER", "SETSLOT", self._slot, "NODE", self._to.identity)


def move(cluster: ValkeyCluster, slot: int, to: ClusterNode) -> None:
    """Moves a slot with all its keys."""
    step = Move(cluster, slot, to)
    step.begin()
    step.end()
