"""How `tidegate verify` prints differences: a line each, and only where table and log disagree."""

import io

from rich.console import Console

from ops.console.differences import show


def _shown(difference: dict[str, object], **counts: int) -> list[str]:
    written = io.StringIO()
    show(Console(file=written, width=40), [difference], counts)
    return written.getvalue().splitlines()


def test_only_the_columns_that_differ_are_shown_side_by_side() -> None:
    assert _shown(
        {
            "check": "stock",
            "subject": "MUG[1]",
            "problem": "the table differs from the log",
            "table": {"on_hand": 101, "reserved": 4},
            "log": {"on_hand": 100, "reserved": 4},
        },
        stock=1,
    ) == ["stock MUG[1]: the table differs from the log", "    on_hand: table 101, log 100"]


def test_lists_are_compared_item_by_item() -> None:
    lines = {"table": [("MUG", 1, 100), ("CUP", 2, 50)], "log": [("MUG", 1, 100)]}
    assert _shown({"check": "lines", "subject": "7", "problem": "differ", **lines}, lines=1) == [
        "lines 7: differ",
        "    2: table CUP, 2, 50, log nothing",
    ]


def test_other_details_are_shown_and_unlisted_differences_counted() -> None:
    difference = {"check": "log", "subject": "seq 3", "problem": "events are missing", "first": 3, "last": None}
    assert _shown(difference, log=1_204) == [
        "log seq 3: events are missing",
        "    first: 3",
        "    last: nothing",
        "log and 1,203 more",
    ]


def test_a_long_value_is_truncated() -> None:
    shown = _shown({"check": "log", "subject": "seq 3", "problem": "is no event", "error": "x" * 10_000}, log=1)
    assert len(shown[1]) < 250
