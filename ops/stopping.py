"""Turns signals into requests that are checked between steps and never interrupt one, so that it is always known what
has been started and has to be stopped. SIGINT, SIGTERM and SIGHUP request a stop; SIGUSR1 a restart.
"""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RESTART: Final = signal.SIGUSR1

# A terminal signals its whole process group, and `make` may pass the signal on: together they are one request.
_ONE_REQUEST_SECONDS: Final = 1.0


class Stopped(Exception):
    """A stop was requested."""


class StopRequest:
    """Whether a stop has been requested, or a restart."""

    def __init__(self) -> None:
        self.made_at: float | None = None
        self.insisted = False
        """Whether a stop has been requested again since, so that everything is killed at once."""
        self.restart = False

    def check(self) -> None:
        """Raises Stopped if a stop has been requested."""
        if self.made_at is not None:
            raise Stopped


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within this context the signals only set the request."""
    request = StopRequest()

    def make(signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if request.made_at is None:
            request.made_at = now
        elif now - request.made_at > _ONE_REQUEST_SECONDS:
            request.insisted = True

    def ask_for_restart(signum: int, frame: FrameType | None) -> None:
        request.restart = True

    before = {number: signal.signal(number, make) for number in _SIGNALS}
    before[RESTART] = signal.signal(RESTART, ask_for_restart)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
