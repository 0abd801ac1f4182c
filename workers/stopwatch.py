"""Where the time of a batch goes, phase after phase."""

from __future__ import annotations

import time

from runtime.metrics import BATCH_PHASE_SECONDS
from runtime.metrics.batches import Phase


class Stopwatch:
    """Runs from its making on."""

    __slots__ = ("_lap", "_started")

    def __init__(self) -> None:
        self._started = self._lap = time.monotonic()

    def lap(self, phase: Phase) -> None:
        """The phase has ended that followed the one before."""
        now = time.monotonic()
        BATCH_PHASE_SECONDS.labels(phase).observe(now - self._lap)
        self._lap = now

    @property
    def total(self) -> float:
        """Seconds since its making."""
        return time.monotonic() - self._started
