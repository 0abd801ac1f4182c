"""Measures where a batch spends its time, phase by phase."""

from __future__ import annotations

import time

from runtime.metrics import BATCH_PHASE_SECONDS
from runtime.metrics.batches import Phase


class Stopwatch:
    """Starts running when it is created."""

    __slots__ = ("_lap", "_started")

    def __init__(self) -> None:
        self._started = self._lap = time.monotonic()

    def lap(self, phase: Phase) -> None:
        """Ends this phase, and starts the next."""
        now = time.monotonic()
        BATCH_PHASE_SECONDS.labels(phase).observe(now - self._lap)
        self._lap = now

    @property
    def total(self) -> float:
        """Seconds since it was created."""
        return time.monotonic() - self._started
