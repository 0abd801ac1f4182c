"""An embedded Valkey Cluster: primaries that share the slots, each with replicas, as the servers of one folder."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from ops.embedded.server import START_TIMEOUT_SECONDS, ServerError, kept_password
from ops.embedded.valkey import ValkeyServer
from ops.ports import free_port

_POLL_SECONDS: Final = 0.02
_ANSWER_TIMEOUT_SECONDS: Final = 2.0
_HOST: Final = "127.0.0.1"

SETTINGS: Final = {
    "cluster-enabled": "yes",
    # How long a node may be silent before a replica takes over.
    "cluster-node-timeout": "2000",
    # If a node is lost, only commands for its slots are refused.
    "cluster-require-full-coverage": "no",
    # Replicas stay with their primary, so that tests know which one takes over.
    "cluster-allow-replica-migration": "no",
    "repl-diskless-sync-delay": "0",
}


class ClusterNode(ValkeyServer):
    """One node. It remembers the others in its own file, and comes back in the role that the cluster then assigns."""

    def __init__(self, home: Path, number: int, *, settings: Mapping[str, str], start_timeout_seconds: float) -> None:
        self.name = f"{ValkeyServer.name}-{number}"
        self.bus_port = free_port()
        self._shared_password = kept_password(home.resolve() / f"{ValkeyServer.name}.password")
        own = {"cluster-port": str(self.bus_port), "primaryauth": self._shared_password}
        super().__init__(home, settings={**SETTINGS, **own, **settings}, start_timeout_seconds=start_timeout_seconds)

    @property
    def password(self) -> str:
        return self._shared_password

    def ask(self, *command: str | int) -> Any:
        """The node's answer. Raises redis-py's errors."""
        with redis.Redis(
            host=_HOST, port=self.port, password=self.password, socket_timeout=_ANSWER_TIMEOUT_SECONDS
        ) as client:
            return client.execute_command(*command)

    @property
    def identity(self) -> str:
        """The id that the nodes know it by."""
        return str(self.ask("CLUSTER", "MYID").decode())

    def is_primary(self) -> bool:
        """Whether it has slots of its own; also False while it does not answer."""
        with suppress(redis.RedisError):
            return bool(self.ask("ROLE")[0] == b"master")
        return False

    def is_well(self, nodes: int) -> bool:
        """Whether it knows this many nodes, considers the cluster complete, and, if a replica, is in sync with its
        primary."""
        said = {name: value for name, _, value in (line.partition(":") for line in self._info().split("\r\n"))}
        role, *more = self.ask("ROLE")
        linked = role == b"master" or more[2] == b"connected"
        return said["cluster_state"] == "ok" and int(said["cluster_known_nodes"]) == nodes and linked

    def _info(self) -> str:
        return str(self.ask("CLUSTER", "INFO").decode())


class ValkeyCluster:
    """`url` names all nodes. Like an embedded server it keeps its ports and data, and any node may be killed and
    started again by itself."""

    name: Final = ValkeyServer.name
    title: Final = "Valkey Cluster"

    def __init__(
        self,
        home: Path,
        *,
        primaries: int = 3,
        replicas: int = 1,
        settings: Mapping[str, str] = MappingProxyType({}),
        start_timeout_seconds: float = START_TIMEOUT_SECONDS,
    ) -> None:
        """`replicas` is the number per primary. `settings` override the nodes' defaults."""
        home.mkdir(parents=True, exist_ok=True)
        self._primaries = primaries
        self._start_timeout_seconds = start_timeout_seconds
        self.nodes: Sequence[ClusterNode] = [
            ClusterNode(home, number, settings=settings, start_timeout_seconds=start_timeout_seconds)
            for number in range(1, primaries * (1 + replicas) + 1)
        ]
        """The primaries of a new cluster first, then a replica of each, and so on."""

    @property
    def url(self) -> str:
        places = ",".join(f"{_HOST}:{node.port}" for node in self.nodes)
        return f"redis+cluster://:{self.nodes[0].password}@{places}"

    def start(self, check: Callable[[], None] = lambda: None) -> None:
        """Returns once all nodes agree that the cluster is complete, and replicas are in sync with their primaries."""
        is_new = not any((node.data / "nodes.conf").exists() for node in self.nodes)
        try:
            for node in self.nodes:
                node.start(check)
            if is_new:
                self._join(check)
            self.wait_until_well(check)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shuts all nodes down in order."""
        for node in self.nodes:
            node.stop()

    def wait_until_well(self, check: Callable[[], None] = lambda: None) -> None:
        """Returns once all nodes are up and agree that the cluster is complete. Raises ServerError if that takes too
        long."""
        self._wait("whole", lambda: all(node.is_well(len(self.nodes)) for node in self.nodes), check)

    def owner(self, slot: int) -> ClusterNode:
        """The node that has a slot, according to the others."""
        for node in self.nodes:
            with suppress(redis.RedisError):
                for first, last, (_, port, *_), *_ in node.ask("CLUSTER SLOTS"):
                    if first <= slot <= last:
                        return next(each for each in self.nodes if each.port == port)
        raise ServerError(f"no node has slot {slot}")

    def replica_of(self, primary: ClusterNode) -> ClusterNode:
        """A replica that follows this primary now."""
        return next(node for node in self.nodes if node.ask("ROLE")[:3] == [b"slave", _HOST.encode(), primary.port])

    def _join(self, check: Callable[[], None]) -> None:
        first, *others = self.nodes
        primaries = self.nodes[: self._primaries]
        bounds = [number * REDIS_CLUSTER_HASH_SLOTS // len(primaries) for number in range(len(primaries) + 1)]
        for number, (node, (begin, end)) in enumerate(zip(primaries, itertools.pairwise(bounds), strict=True)):
            node.ask("CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for node in others:
            first.ask("CLUSTER", "MEET", _HOST, node.port, node.bus_port)
        everybody = f"cluster_known_nodes:{len(self.nodes)}\r"
        self._wait("introduced", lambda: all(everybody in node._info() for node in self.nodes), check)
        for number, node in enumerate(self.nodes[self._primaries :]):
            node.ask("CLUSTER", "REPLICATE", primaries[number % self._primaries].identity)

    def _wait(self, what: str, look: Callable[[], bool], check: Callable[[], None]) -> None:
        until = time.monotonic() + self._start_timeout_seconds
        while not look():
            check()
            if time.monotonic() > until:
                raise ServerError(f"{self.title} was not {what} within {self._start_timeout_seconds:.0f} s")
            time.sleep(_POLL_SECONDS)
