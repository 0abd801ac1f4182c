"""How often the live figures look something up in Postgres."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SECONDS: Final = 3.0
_MAX_SHARE: Final = 0.05


class Pace:
    """Limits looks to one every few seconds, and to fewer the longer they take, so that they never become a load."""

    def __init__(self) -> None:
        self._again_at = 0.0
        self.has_looked = False
        """Whether a look has succeeded."""

    def is_due(self) -> bool:
        return time.monotonic() >= self._again_at

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Wraps a look. A failed one is a load, too, so it is not repeated any sooner."""
        began = time.monotonic()
        try:
            yield
            self.has_looked = True
        finally:
            self._again_at = began + max(_SECONDS, (time.monotonic() - began) / _MAX_SHARE)
