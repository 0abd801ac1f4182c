"""Keeps embedded servers running: one that exits unexpectedly is restarted on its data, after a pause that grows with
every failure. A server that keeps exiting is given up on, with an error that says which server and how it ended.
"""

from __future__ import annotations

import signal
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Final

from ops.embedded.server import EmbeddedServer, ServerError

ENDS_MAX: Final = 5
ENDS_WITHIN_SECONDS: Final = 60.0
FIRST_PAUSE_SECONDS: Final = 0.25
_POLL_SECONDS: Final = 0.05


class Keeper:
    """Watches over running servers. `say` gets one line for each restart."""

    def __init__(self, servers: Iterable[EmbeddedServer], say: Callable[[str], object]) -> None:
        self._servers = list(servers)
        self._say = say
        self._ends: defaultdict[str, deque[float]] = defaultdict(deque)

    def look(self, check: Callable[[], None]) -> None:
        """Restarts servers that have exited; `check` is called meanwhile, and may raise. Raises ServerError when one
        exits more than ENDS_MAX times within ENDS_WITHIN_SECONDS."""
        for server in self._servers:
            how = server.ended_by_itself
            if how is not None:
                self._start_again(server, f"{server.title} exited unexpectedly ({_words(how)})", check)

    def _start_again(self, server: EmbeddedServer, what: str, check: Callable[[], None]) -> None:
        begun = time.monotonic()
        trouble = ""
        while True:
            ends = self._ends[server.name]
            ends.append(time.monotonic())
            while ends[0] < time.monotonic() - ENDS_WITHIN_SECONDS:
                ends.popleft()
            if len(ends) > ENDS_MAX:
                raise ServerError(f"{what} and cannot be kept running: {len(ends)} exits within a minute. {trouble}")
            if len(ends) > 1:  # the first time may be an accident
                _pause(FIRST_PAUSE_SECONDS * 2 ** (len(ends) - 2), check)
            try:
                server.kill()  # and any children it left
                server.start(check)
            except ServerError as error:
                trouble = str(error)
            else:
                self._say(f"{what}; it was restarted with its data after {time.monotonic() - begun:.1f} s.")
                return


def _pause(seconds: float, check: Callable[[], None]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        check()
        time.sleep(_POLL_SECONDS)


def _words(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
