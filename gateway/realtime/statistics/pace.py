"""How often the live figures look something up in Postgres."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SECONDS: Final = 3.0
_MAX_SHARE: Final = 0.05


class Pace:
    """Every few seconds at most; and the longer a look took, the rarer, so that it never becomes a load."""

    def __init__(self) -> None:
        self._again_at = 0.0
        self.has_looked = False
        """Whether a look has succeeded."""

    def is_due(self) -> bool:
        return time.monotonic() >= self._again_at

    @contextmanager
    def looking(self) -> Iterator[None]:
        """The block looks. One that fails is a load like any other, and is not repeated sooner."""
        began = time.monotonic()
        try:
            yield
            self.has_looked = True
        finally:
            self._again_at = began + max(_SECONDS, (time.monotonic() - began) / _MAX_SHARE)
