"""Half-open connections: a firewall has forgotten them, or another server has taken over the address. No packet says
so, and whatever uses such a connection waits for an answer that never comes.

Three checks find them. A connection that was idle for a moment is pinged before it is used, and one that does not
answer in time is replaced, along with all that were idle at the same time. The kernel closes connections whose sent
data stays unacknowledged (TCP_USER_TIMEOUT). And TCP keepalive probes idle ones, which also keeps firewalls from
forgetting them.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

from runtime.settings import Settings, settings

_MILLISECONDS: Final = 1_000


class Liveness(NamedTuple):
    """When connections are checked. All values are in seconds, except `keepalive_count`, a number of probes."""

    idle_seconds: float
    answer_seconds: float
    keepalive_idle_seconds: int
    keepalive_interval_seconds: int
    keepalive_count: int

    @classmethod
    def of(cls, config: Settings) -> Liveness:
        return cls(
            config.connection_idle_seconds,
            config.connection_answer_seconds,
            config.keepalive_idle_seconds,
            config.keepalive_interval_seconds,
            config.keepalive_count,
        )

    @classmethod
    def configured(cls) -> Liveness:
        """From this process's settings."""
        return cls.of(settings())

    def tcp_options(self) -> Mapping[int, int]:
        """TCP socket options, as far as this system supports them."""
        wanted = {
            # macOS calls the first one TCP_KEEPALIVE.
            "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE": self.keepalive_idle_seconds,
            "TCP_KEEPINTVL": self.keepalive_interval_seconds,
            "TCP_KEEPCNT": self.keepalive_count,
            "TCP_USER_TIMEOUT": int(self.answer_seconds * _MILLISECONDS),
        }
        return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}

    def keep_alive(self, connection: socket.socket) -> None:
        """Sets these options on a connection, unless it is not TCP (a Unix socket)."""
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in self.tcp_options().items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
