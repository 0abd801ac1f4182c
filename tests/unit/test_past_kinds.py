"""Every kind of event and command is in a past that its own code has written, or is newer than all of them. So whoever
adds one thinks of it, and the next past is written with it."""

from pathlib import Path
from typing import Final

from domain.model import COMMANDS, EVENTS
from tests.past import NEWER, Past

PASTS: Final = sorted((Path(__file__).parents[1] / "data" / "past").glob("*.json.gz"))


def test_every_kind_is_in_a_past_or_newer_than_all_of_them() -> None:
    recorded = set[str]().union(*(Past.read(path).kinds for path in PASTS))
    missing = {*EVENTS, *(command.__name__ for command in COMMANDS)} - recorded
    assert missing == set(NEWER), "list what is new in tests/past/__init__.py, or write a past with it"
