"""Turns SIGINT, SIGTERM and SIGHUP into a request that is checked between steps and never interrupts one: so it is
known what has been started, and it can be stopped in order.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """A stop was requested."""


class StopRequest:
    """Whether a stop has been requested."""

    def __init__(self) -> None:
        self.made = False

    def check(self) -> None:
        """Raises Stopped if a stop has been requested."""
        if self.made:
            raise Stopped


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within this context the signals only set the request; further ones, while everything stops, have no effect."""
    request = StopRequest()

    def make(signum: int, frame: FrameType | None) -> None:
        request.made = True

    before = {number: signal.signal(number, make) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
