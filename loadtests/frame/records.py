"""What each subscriber has seen, in a few numbers, and whether it matches the log. It shares no code with the gateway,
so it has its own definition of which events belong to a topic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from loadtests.frame.verdict import Check, check, skipped

ReadLog = Callable[[int], Iterable[Mapping[str, Any]]]

TOPICS: Final[Mapping[str, Callable[[str], bool]]] = {
    "log": lambda type_: True,
    "orders": lambda type_: type_.startswith("order."),
}
"""The topics that are followed, and which types of events they carry."""

FAULTS_KEPT: Final = 5


class Record(msgspec.Struct):
    """What one subscriber has seen of a topic after the seq `after` and up to `upto`: how many events, the sum of their
    seqs, and faults that were noticed at once."""

    topic: str
    after: int = 0
    upto: int = 0
    count: int = 0
    total: int = 0
    faults: list[str] = []
    last: int = 0

    def begin(self, after: int) -> None:
        """The subscription begins after this seq."""
        self.after = self.upto = self.last = after

    def see(self, seq: int) -> None:
        """Notes an event."""
        if seq <= self.last:
            self.fault(f"event {seq} came after event {self.last}")
        elif self.topic == "log" and seq != self.last + 1:
            self.fault(f"event {seq} came after event {self.last}: events between them are missing")
        self.last = max(self.last, seq)
        self.upto = max(self.upto, seq)
        self.count += 1
        self.total += seq

    def fault(self, what: str) -> None:
        """Notes a fault."""
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(what)


def seen_by_all(records: Sequence[Record], expected: int, events: ReadLog) -> Check:
    """Whether each of the expected subscribers has seen every event of its topic, once and in order. `events` reads the
    log after a seq."""
    name, because = "no gap and no repeat at any subscriber", "a dashboard that misses an event is wrong from then on"
    if not expected:
        return skipped(name, "there were no subscribers")
    faults = [f"{each.topic} after {each.after}: {fault}" for each in records for fault in each.faults]
    faults += _differences(records, events)
    if len(records) < expected:
        faults.insert(0, f"{expected - len(records)} subscribers did not say what they had seen")
    seen = sum(each.count for each in records)
    measured = f"{len(records):,} subscribers saw {seen:,} events"
    return check(
        name,
        not faults,
        wanted=f"{expected:,} subscribers agree with the log",
        measured=f"{measured}; {len(faults):,} faults, such as: {faults[0]}" if faults else measured,
        because=because,
    )


def _differences(records: Sequence[Record], events: ReadLog) -> list[str]:
    """The differences between the records and the log."""
    marks = sorted({mark for each in records for mark in (each.after, each.upto)})
    if not marks:
        return []
    log = [(event["seq"], event["type"]) for event in events(marks[0])]
    sums = {topic: _sums(topic, marks, log) for topic in {each.topic for each in records}}
    found = []
    for each in records:
        (count_after, total_after), (count_upto, total_upto) = sums[each.topic][each.after], sums[each.topic][each.upto]
        wanted = count_upto - count_after, total_upto - total_after
        if wanted != (each.count, each.total):
            span = f"{each.topic} from {each.after} to {each.upto}"
            found.append(f"{span}: the log has {wanted[0]:,} events, the subscriber saw {each.count:,}")
    return found


def _sums(topic: str, marks: Sequence[int], log: Iterable[tuple[int, str]]) -> dict[int, tuple[int, int]]:
    """For each mark, how many of the topic's events are not after it, and the sum of their seqs."""
    belongs, count, total = TOPICS[topic], 0, 0
    sums: dict[int, tuple[int, int]] = {}
    left = list(reversed(marks))
    for seq, type_ in log:
        while left and left[-1] < seq:
            sums[left.pop()] = count, total
        if belongs(type_):
            count, total = count + 1, total + seq
    return sums | dict.fromkeys(left, (count, total))
