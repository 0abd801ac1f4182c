"""How a gateway process shuts down. After SIGTERM or SIGINT it reports that it is not ready, but keeps serving until
load balancers have noticed; then uvicorn stops listening, and requests in progress are completed. A second signal ends
the process at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from runtime.metrics import PROCESSES_STOPPING
from runtime.settings import settings

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

# A terminal or supervisor signals the whole process group, and a parent in it passes the signal on: both count as one.
_ONE_REQUEST_SECONDS: Final = 2.0

# The rate at which sockets are closed, so that their clients do not all reconnect at once.
CLOSES_PER_SECOND: Final = 200

_log = logging.getLogger(__name__)


class Stopping:
    """Handles this process's signals before uvicorn does."""

    def __init__(self, *, notice_seconds: float, at_close: Callable[[], None]) -> None:
        """`at_close` is called when new connections are no longer accepted."""
        self._notice_seconds = notice_seconds
        self._at_close = at_close
        self._asked_at: float | None = None
        self._loop: asyncio.AbstractEventLoop
        self._before: dict[int, object] = {}

    @property
    def begun(self) -> bool:
        """Whether this process has been asked to end."""
        return self._asked_at is not None

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Within this context a signal begins the shutdown; the previous handler is called when it is its turn."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._loop = asyncio.get_running_loop()
        self._before = {number: signal.signal(number, self._heed) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # as it was

    def _heed(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._asked_at is None:
            self._asked_at = now
            self._loop.call_soon_threadsafe(self._begin, number)
        elif now - self._asked_at > _ONE_REQUEST_SECONDS:
            for each in _SIGNALS:  # uvicorn drops everything at the second one, if that is SIGINT
                self._tell_before(each)

    def _begin(self, number: int) -> None:
        PROCESSES_STOPPING.labels("gateway").set(1)
        self._loop.call_later(self._notice_seconds, self._close, number)

    def _close(self, number: int) -> None:
        _log.info("this process ends")
        self._tell_before(number)
        self._at_close()

    def _tell_before(self, number: int) -> None:
        before = self._before[number]
        if callable(before):
            before(number, None)
        else:  # the system's default, which ends the process
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)


def turn(sockets: int) -> float:
    """A random delay in seconds before closing one of `sockets` sockets, so that their clients do not all reconnect
    together."""
    return random.random() * min(settings().socket_close_seconds, sockets / CLOSES_PER_SECOND)  # noqa: S311 - jitter
