"""Connections that died without a word: a firewall forgot them, or the server behind an address is another one now. No
packet says so, and whoever is handed such a connection waits for an answer that never comes.

Three things find them. A connection that was idle for a moment is asked before it is used, and one that does not answer
in time is given up for a new one, with all that were idle beside it. The system gives up those on which what was sent
stays unacknowledged. And it asks idle ones by itself now and then, which also keeps firewalls from forgetting them.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final, NamedTuple

from runtime.settings import Settings, settings

_MILLISECONDS: Final = 1_000


class Liveness(NamedTuple):
    """When connections are doubted. All are seconds but `keepalive_count`, which is a number of questions."""

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
        """As this process's settings have it."""
        return cls.of(settings())

    def tcp_options(self) -> Mapping[int, int]:
        """Options of TCP sockets, as far as this system has them."""
        wanted = {
            # macOS calls the first one TCP_KEEPALIVE.
            "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE": self.keepalive_idle_seconds,
            "TCP_KEEPINTVL": self.keepalive_interval_seconds,
            "TCP_KEEPCNT": self.keepalive_count,
            "TCP_USER_TIMEOUT": int(self.answer_seconds * _MILLISECONDS),
        }
        return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}

    def keep_alive(self, connection: socket.socket) -> None:
        """Sets them for a connection; one that is no TCP (a Unix socket) has no need of them."""
        if connection.family not in (socket.AF_INET, socket.AF_INET6):
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in self.tcp_options().items():
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
