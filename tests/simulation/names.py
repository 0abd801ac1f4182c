"""The names of events: an identity of the log, and a seq. Whatever is restored, a name that was told to anybody means
one event for ever. This book of names goes by its own reading of the tables, and of what subscribers and Redis were
told. What was committed, and lost before anybody heard of it, has had no name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from tests.simulation.server import Server

_EVENTS: Final = """
    SELECT coalesce(
        (SELECT identity FROM log_branches WHERE after_seq < e.seq ORDER BY number DESC LIMIT 1),
        (SELECT identity FROM log_branches ORDER BY number LIMIT 1)
    )::text AS identity, seq, type, subject, command_id::text, data::text
    FROM events e ORDER BY seq
"""


Name: TypeAlias = tuple[str, int]
"""The identity of the log, and the seq."""


class Names:
    """What each name was seen to mean, and where first."""

    def __init__(self) -> None:
        self._means: dict[Name, tuple[tuple[object, ...], str]] = {}

    def __len__(self) -> int:
        return len(self._means)

    def read_log(self, server: Server, where: str, heard: Mapping[str, int] | None = None) -> list[Name]:
        """Notes all events in Postgres, or those up to the seqs that were `heard` of (by identity); returns the names
        of all, in the order of the log."""
        names = []
        for identity, seq, kind, subject, command_id, data in server.fetch(_EVENTS):
            names.append((identity, seq))
            if heard is None or seq <= heard.get(identity, 0):
                self._note((identity, seq), (kind, subject, command_id, _canonical(json.loads(data))), where)
        return names

    def was_told(self, event: Mapping[str, Any], where: str) -> Name:
        """Notes an event that a subscriber was told of; returns its name."""
        name = name_of(event)
        told = (event["type"], event["subject"], event["commandid"], _canonical(event["data"]))
        self._note(name, told, where)
        return name

    def _note(self, name: Name, event: tuple[object, ...], where: str) -> None:
        known, seen = self._means.setdefault(name, (event, where))
        assert known == event, f"seq {name[1]} of {name[0]} names {known} ({seen}) and {event} ({where})"


def name_of(event: Mapping[str, Any]) -> Name:
    """What an event is called, as subscribers are told of it."""
    return event["source"].removeprefix("urn:uuid:"), int(event["id"])


def _canonical(data: object) -> str:
    return json.dumps(data, sort_keys=True)
