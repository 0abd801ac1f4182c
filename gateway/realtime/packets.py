"""Packets: runs of events, encoded once per form for all of their receivers."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec

from runtime.branches import Branches
from runtime.records import CHUNK_MAX_BYTES, CHUNK_MAX_EVENTS, EventRecord, cloud_event

# How many encodings a packet keeps. Subscriptions with names of their own cannot share an encoding.
_WRITTEN_MAX: Final = 4

_json: Final = msgspec.json.Encoder()

Form = Callable[[str, Sequence[int], Sequence[str]], str]
"""How a run of events (subscription, seqs, bodies) is written for its receivers."""


class Packet:
    """Some encoded events in the order of the log: one audience's part of a run."""

    __slots__ = ("_written", "at", "bodies", "seqs", "size")

    def __init__(self, seqs: Sequence[int], bodies: Sequence[str], at: int = 0) -> None:
        """`at` is the moment of the oldest event, if they are new, in microseconds of Unix time."""
        self.at = at
        self.seqs = seqs
        self.bodies = bodies
        self.size = sum(map(len, bodies))
        self._written: dict[tuple[Form, str], str] = {}

    @property
    def seq(self) -> int:
        """The last event's."""
        return self.seqs[-1]

    def after(self, seq: int) -> Packet | None:
        """The part after `seq`; None if it is empty."""
        if self.seqs[0] > seq:
            return self
        start = bisect_right(self.seqs, seq)
        return Packet(self.seqs[start:], self.bodies[start:], self.at) if start < len(self.seqs) else None

    def written(self, form: Form, subscription: str) -> str:
        """The packet in a form, for subscriptions of that name. They share it, as long as there are few names."""
        key = form, subscription
        text = self._written.get(key)
        if text is None:
            text = form(subscription, self.seqs, self.bodies)
            if len(self._written) < _WRITTEN_MAX:
                self._written[key] = text
        return text


def events_message(subscription: str, seqs: Sequence[int], bodies: Sequence[str]) -> str:
    """The message `events` of `/ws`; `subscription` is JSON already."""
    return f'{{"type":"events","subscription":{subscription},"seq":{seqs[-1]},"events":[{",".join(bodies)}]}}'


def array(subscription: str, seqs: Sequence[int], bodies: Sequence[str]) -> str:
    """A JSON array of CloudEvents, and nothing else."""
    return f"[{','.join(bodies)}]"


@lru_cache(maxsize=8)
def server_sent(identity: UUID) -> Form:
    """Server-sent events of the log `identity`, each with its place in that log as the id to resume from. All receivers
    of one log share the form."""

    def written(subscription: str, seqs: Sequence[int], bodies: Sequence[str]) -> str:
        return "".join(
            f"id: {event_id(seq, identity)}\ndata: {body}\n\n" for seq, body in zip(seqs, bodies, strict=True)
        )

    return written


def event_id(seq: int, identity: UUID) -> str:
    """The id of an event in an event stream: its seq, and its log's identity."""
    return f"{seq}@{identity}"


def encode(record: EventRecord, branches: Branches) -> str:
    """The event as a CloudEvent in JSON."""
    return _json.encode(cloud_event(record, branches.source(record.seq))).decode()


def packets(events: Sequence[tuple[int, str]], at: int = 0) -> Iterator[Packet]:
    """Encoded events (seq, body) in packets of bounded size; for `at` see there."""
    start = size = 0
    for index, (_, body) in enumerate(events):
        if index > start and (index - start == CHUNK_MAX_EVENTS or size + len(body) > CHUNK_MAX_BYTES):
            yield _packet(events[start:index], at)
            start, size = index, 0
        size += len(body)
    if start < len(events):
        yield _packet(events[start:], at)


def _packet(events: Sequence[tuple[int, str]], at: int) -> Packet:
    seqs, bodies = zip(*events, strict=True)
    return Packet(seqs, bodies, at)
