"""SIGINT, SIGTERM and SIGHUP as a request that is looked at between steps, and never cuts one in two: what has been
started is then known, and can be stopped in order.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Someone asked for an end."""


class StopRequest:
    """Whether an end has been asked for."""

    def __init__(self) -> None:
        self.made = False

    def check(self) -> None:
        """Raises Stopped once an end has been asked for."""
        if self.made:
            raise Stopped


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Inside, the signals only make the request; those that come after it, while everything stops, change nothing."""
    request = StopRequest()

    def make(signum: int, frame: FrameType | None) -> None:
        request.made = True

    before = {number: signal.signal(number, make) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
