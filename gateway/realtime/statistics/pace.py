"""How often the live figures look something up in Postgres."""

from __future__ import annotations

import time
from typing import Final

_SECONDS: Final = 3.0
_MAX_SHARE: Final = 0.05


class Pace:
    """Every few seconds at most; and the longer a look took, the rarer, so that it never becomes a load."""

    def __init__(self) -> None:
        self._again_at = 0.0

    @property
    def has_looked(self) -> bool:
        return self._again_at > 0

    def is_due(self) -> bool:
        return time.monotonic() >= self._again_at

    def looked(self, began: float) -> None:
        """A look that began then (monotonic) has ended."""
        self._again_at = began + max(_SECONDS, (time.monotonic() - began) / _MAX_SHARE)
