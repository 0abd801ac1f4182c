"""What a verification found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

# Of each check; a broken database can have millions, and the first ones tell.
DIFFERENCES_MAX: Final = 50

Progress = Callable[[str, int, int], None]
"""Called with the check's name, how much of it is done, and how much there is (0: not known)."""


def no_progress(check: str, done: int, total: int) -> None:
    """Shows nothing."""


class Report:
    """The counts of what was compared, and the differences: by check, the first DIFFERENCES_MAX and how many more."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.differences: list[dict[str, Any]] = []
        self._found: dict[str, int] = {}

    @property
    def clean(self) -> bool:
        return not self._found

    def differ(self, check: str, subject: str, problem: str, **particulars: Any) -> None:
        """Notes a difference: which check, about what, and what is wrong."""
        self._found[check] = self._found.get(check, 0) + 1
        if self._found[check] <= DIFFERENCES_MAX:
            self.differences.append({"check": check, "subject": subject, "problem": problem, **particulars})

    def document(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        return {
            "clean": self.clean,
            "counts": self.counts,
            "differences": self.differences,
            "difference_counts": self._found,
        }
