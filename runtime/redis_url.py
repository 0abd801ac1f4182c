"""Where Redis is: one server (`redis://`, `rediss://`, `unix://`), or a cluster.

A cluster's URL is like a server's, with `+cluster` after the scheme and one or more nodes to ask for the others:
`redis+cluster://:password@10.0.0.1:6379,10.0.0.2:6379`. With `rediss+cluster` the connections are encrypted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

_MARK: Final = "+cluster"
_DEFAULT_PORT: Final = 6379


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int


class ClusterUrl(NamedTuple):
    """A cluster's URL: some of its nodes, and what is the same in the URLs of all."""

    scheme: str
    account: str
    seeds: Sequence[Address]
    options: str

    def of(self, node: Address) -> str:
        """The URL of one node, as of a server."""
        host = f"[{node.host}]" if ":" in node.host else node.host
        return f"{self.scheme}://{self.account}{host}:{node.port}/0{self.options}"


def read(redis_url: str) -> ClusterUrl | None:
    """The parts of a cluster's URL; None for a server's. Raises ValueError for one that cannot be read."""
    scheme, _, rest = redis_url.partition("://")
    if not scheme.endswith(_MARK):
        return None
    rest, mark, options = rest.partition("?")
    place, _, database = rest.partition("/")
    account, at, nodes = place.rpartition("@")
    if scheme.removesuffix(_MARK) not in ("redis", "rediss"):
        raise ValueError("the URL of a cluster begins with redis+cluster:// or rediss+cluster://")
    if database not in ("", "0"):
        raise ValueError("a cluster has only database 0")
    seeds = [_address(node) for node in nodes.split(",")]
    return ClusterUrl(scheme.removesuffix(_MARK), account + at, seeds, mark + options)


def any_server(redis_url: str) -> str:
    """The URL of one server: the only one, or a node of the cluster."""
    cluster = read(redis_url)
    return redis_url if cluster is None else cluster.of(cluster.seeds[0])


def ports(redis_url: str) -> set[int]:
    """The ports that the URL names."""
    cluster = read(redis_url)
    if cluster is None:
        return {urlsplit(redis_url).port or _DEFAULT_PORT}
    return {node.port for node in cluster.seeds}


def _address(node: str) -> Address:
    host, colon, port = node.rpartition(":")
    if not colon or node.endswith("]"):
        host, port = node, str(_DEFAULT_PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{node!r} is not the host:port of a node")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))
