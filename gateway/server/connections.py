"""Bounds the connections of one gateway process: in all, and per address.

The overall bound is below the process's limit of open files; the rest is reserved for the gateway itself, so that a
crowd of clients never costs it its connections to Redis and Postgres. The bound per address does not apply to a trusted
proxy, whose connections serve many clients. Clients that are turned away get a 503 that says why.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from functools import lru_cache
from typing import Final, Literal

from runtime import files
from runtime.metrics import CONNECTIONS, CONNECTIONS_REFUSED
from runtime.settings import Settings, settings

Refused = Literal["all", "address"]

_LOG_SECONDS: Final = 10.0

_log = logging.getLogger(__name__)


class Crowd:
    """The connections of this process. `lingering` counts those that were turned away and are not closed yet."""

    def __init__(self, config: Settings, *, open_files_max: int) -> None:
        self.most = max(1, min(config.connections_max, open_files_max - config.descriptors_reserved))
        if self.most < config.connections_max:
            _log.warning(
                "this process may open %d files: at most %d connections, not the %d of TIDEGATE_CONNECTIONS_MAX",
                open_files_max,
                self.most,
                config.connections_max,
            )
        self._most_per_address = config.connections_max_per_address
        self._open = 0
        self.lingering = 0
        self._of: Counter[str] = Counter()
        self._refusals = Refusals("connections", _log)

    def enter(self, address: str | None) -> Refused | None:
        """Counts a connection from an address, if known; returns the bound that it would exceed, if any."""
        if self._open >= self.most:
            return self._refuse("all", address)
        if address is not None:
            if self._of[address] >= self._most_per_address:
                return self._refuse("address", address)
            self._of[address] += 1
        self._open += 1
        CONNECTIONS.inc()
        return None

    def leave(self, address: str | None) -> None:
        """Counts a connection that has ended."""
        self._open -= 1
        CONNECTIONS.dec()
        if address is not None:
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]

    def _refuse(self, bound: Refused, address: str | None) -> Refused:
        CONNECTIONS_REFUSED.labels(bound).inc()
        self._refusals.note(f"{self._open} are open; the last one was refused by the bound on {bound}, from {address}")
        return bound


class Refusals:
    """Logs that clients are turned away: at once, and then every few seconds while it continues."""

    def __init__(self, what: str, log: logging.Logger) -> None:
        self._what = what
        self._logger = log
        self._refused = 0
        self._again_at = 0.0

    def note(self, why: str) -> None:
        """Counts one more client that was turned away."""
        self._refused += 1
        now = time.monotonic()
        if now >= self._again_at:
            self._again_at = now + _LOG_SECONDS
            self._logger.warning("%d %s refused since this was last logged: %s", self._refused, self._what, why)
            self._refused = 0


@lru_cache(maxsize=1)
def crowd() -> Crowd:
    """The connections of this process."""
    return Crowd(settings(), open_files_max=files.allow_many())
