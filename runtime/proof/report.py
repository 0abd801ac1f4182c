"""What a verification found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

# For each check; a broken database can have millions, and the first ones suffice.
DIFFERENCES_MAX: Final = 50

# For the values of one difference; an order can have thousands of lines.
ITEMS_MAX: Final = 50
TEXT_MAX_CHARS: Final = 2_000

Progress = Callable[[str, int, int], None]
"""Called with the check's name, how much of it is done, and the total (0 if unknown)."""


def no_progress(check: str, done: int, total: int) -> None:
    """Shows nothing."""


class Report:
    """How much was compared, and the differences: for each check, the first `differences_max` and how many more."""

    def __init__(self, differences_max: int = DIFFERENCES_MAX) -> None:
        self._differences_max = differences_max
        self.counts: dict[str, int] = {}
        self.differences: list[dict[str, Any]] = []
        self._found: dict[str, int] = {}

    @classmethod
    def of(cls, parts: Iterable[Report]) -> Report:
        """Merges the results of several checks."""
        whole = cls()
        for part in parts:
            whole.counts |= part.counts
            whole.differences += part.differences
            for check, count in part._found.items():
                whole._found[check] = whole._found.get(check, 0) + count
        return whole

    @property
    def clean(self) -> bool:
        return not self._found

    def differ(self, check: str, subject: str, problem: str, **particulars: Any) -> None:
        """Notes a difference: which check, about what, and what is wrong."""
        self._found[check] = self._found.get(check, 0) + 1
        if self._found[check] <= self._differences_max:
            shown = {name: _shortened(value) for name, value in particulars.items()}
            self.differences.append({"check": check, "subject": subject, "problem": problem, **shown})

    @property
    def found(self) -> Mapping[str, int]:
        """How many differences each check found."""
        return self._found

    def document(self) -> dict[str, Any]:
        """The report as JSON-ready data."""
        return {
            "clean": self.clean,
            "counts": self.counts,
            "differences": self.differences,
            "difference_counts": self._found,
        }


def _shortened(value: Any) -> Any:
    """The value, shortened if it is long."""
    if isinstance(value, str) and len(value) > TEXT_MAX_CHARS:
        return f"{value[:TEXT_MAX_CHARS]}… ({len(value):,} characters)"
    if isinstance(value, list) and len(value) > ITEMS_MAX:
        return [*value[:ITEMS_MAX], f"… ({len(value):,} in all)"]
    return value
