"""Prints what `tidegate verify` found: a line for each difference, and below it the values in the table and in the log
where they disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape

_TABLE, _LOG = "table", "log"
_SAID_ABOVE: Final = ("check", "subject", "problem")
_VALUE_MAX_CHARS: Final = 200


def show(console: Console, differences: Sequence[Mapping[str, Any]], counts: Mapping[str, int]) -> None:
    """Prints the differences, and how many more there are of each check; `counts` has the total of each check."""
    shown: dict[str, int] = {}
    for difference in differences:
        check = difference["check"]
        shown[check] = shown.get(check, 0) + 1
        _line(console, f"[red]{escape(check)}[/red] {escape(str(difference['subject']))}: {difference['problem']}")
        for line in _particulars({k: v for k, v in difference.items() if k not in _SAID_ABOVE}):
            _line(console, f"    {line}")
    for check, count in counts.items():
        if count > shown.get(check, 0):
            _line(console, f"[red]{escape(check)}[/red] and {count - shown.get(check, 0):,} more")


def _line(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False)


def _particulars(said: dict[str, Any]) -> Iterator[str]:
    if _TABLE in said and _LOG in said:
        table, log = _parts(said.pop(_TABLE)), _parts(said.pop(_LOG))
        for name in [*table, *(name for name in log if name not in table)]:
            if table.get(name) != log.get(name):
                head = f"{name}: " if name else ""
                yield escape(f"{head}table {_text(table.get(name))}, log {_text(log.get(name))}")
    for name, value in said.items():
        yield escape(f"{name}: {_text(value)}")


def _parts(said: Any) -> dict[str, Any]:
    """The values compared, by name: a row's columns, the items of a list, or a single value without a name."""
    if isinstance(said, Mapping):
        return {str(name): value for name, value in said.items()}
    if isinstance(said, Sequence) and not isinstance(said, str):
        return {str(number): value for number, value in enumerate(said, start=1)}
    return {"": said}


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    return text if len(text) <= _VALUE_MAX_CHARS else f"{text[:_VALUE_MAX_CHARS]}…"
