"""A whole Tidegate whose Redis is a Valkey Cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ops.embedded.cluster import ValkeyCluster
from ops.embedded.server import START_TIMEOUT_SECONDS, EmbeddedServer
from tests import pace
from tests.system import System


class ClusterSystem(System):
    """Three primaries with a replica each, and a 202 waits for that."""

    def __init__(self, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__({"TIDEGATE_ACCEPT_MIN_REPLICAS": "1", **settings})
        self.cluster = ValkeyCluster(self.home, start_timeout_seconds=pace.seconds(START_TIMEOUT_SECONDS))

    @property
    def redis_url(self) -> str:
        return self.cluster.url

    @property
    def servers(self) -> Sequence[EmbeddedServer | ValkeyCluster]:
        return self.postgres, self.cluster

    @property
    def each_server(self) -> Sequence[EmbeddedServer]:
        return self.postgres, *self.cluster.nodes

    def make_whole(self) -> None:
        super().make_whole()
        self.cluster.wait_until_well()
