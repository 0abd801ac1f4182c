"""What is recorded of an applied command, and how it is sent: event records and outcomes.

An event record is one line of the log; an outcome is the answer to the waiting gateway. Both are sent over the feed as
JSON arrays; `data` is the event itself, encoded once, when it was decided. Only an event of an earlier version of its
type is upcast and encoded again when it is read, so records are always in the current version.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from domain.model import EVENTS, Event
from domain.versions import upcast

APPLIED: Final = "applied"
REJECTED: Final = "rejected"
FAILED: Final = "failed"
REPEATED: Final = "repeated"
ACCEPTED: Final = "accepted"

OUTCOME_STATUSES: Final = (APPLIED, REJECTED, FAILED, REPEATED)

# The bounds of one message of the feed and of one frame to a client. A single order of the largest size is up to 250
# KB.
CHUNK_MAX_EVENTS: Final = 256
CHUNK_MAX_BYTES: Final = 262_144


class EventRecord(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One line of the log. `occurred_at` is when it was applied, in microseconds of Unix time; `version` is that of
    `data`. `log`, the identity of the log, is set in the first record of a feed message; older releases do not set it.
    """

    seq: int
    type: str
    subject: str
    command_id: UUID
    actor: str
    occurred_at: int
    data: msgspec.Raw
    version: int = 1
    log: UUID | None = None

    def event(self) -> Event:
        """The event itself. Raises what `read_event` raises."""
        return read_event(self.type, self.version, self.data)


class Outcome(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The outcome of a command: its status and its first event, whose `data` has the details, in the `version` of its
    type."""

    command_id: UUID
    status: str
    seq: int
    type: str
    occurred_at: int
    data: msgspec.Raw
    version: int = 1


_Versioned = TypeVar("_Versioned", EventRecord, Outcome)


class CloudEvent(msgspec.Struct, frozen=True, gc=False):
    """An event as a CloudEvent 1.0, the form for clients. `id` is the seq as text; `seq` is for ordering and resuming.
    `source` has the log's identity: another log has a different event at the same seq."""

    id: str
    type: str
    subject: str
    time: str
    seq: int
    commandid: str
    actor: str
    data: msgspec.Raw
    source: str
    specversion: str = "1.0"
    datacontenttype: str = "application/json"


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_encoder = msgspec.json.Encoder()
_records = msgspec.json.Decoder(list[EventRecord])
_outcomes = msgspec.json.Decoder(list[Outcome])


@cache
def _decoder(event_type: str) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(EVENTS[event_type])


def read_event(event_type: str, version: int, data: str | msgspec.Raw) -> Event:
    """The event in a line of the log. Raises KeyError for an unknown type, UnknownVersion for the version of a later
    release, and msgspec.MsgspecError if the data does not match the type."""
    return _decoder(event_type).decode(as_of_today(event_type, version, data))


def as_of_today(event_type: str, version: int, data: str | msgspec.Raw) -> str | msgspec.Raw:
    """An event's data, upcast to its type's current version; unchanged if the type is unknown. Raises UnknownVersion
    for the version of a later release."""
    kind = EVENTS.get(event_type)
    if kind is None or version == kind.schema_version:
        return data
    return msgspec.Raw(_encoder.encode(upcast(kind, version, msgspec.json.decode(data))))


def current(record: _Versioned) -> _Versioned:
    """The record in its event type's current version. Raises what `as_of_today` raises."""
    kind = EVENTS.get(record.type)
    if kind is None or record.version == kind.schema_version:
        return record
    data = msgspec.Raw(as_of_today(record.type, record.version, record.data))
    return msgspec.structs.replace(record, data=data, version=kind.schema_version)


def chunks(records: Sequence[EventRecord]) -> Iterator[Sequence[EventRecord]]:
    """The records in runs of bounded number and size."""
    start = size = 0
    for index, record in enumerate(records):
        length = len(memoryview(record.data))
        if index > start and (index - start == CHUNK_MAX_EVENTS or size + length > CHUNK_MAX_BYTES):
            yield records[start:index]
            start, size = index, 0
        size += length
    if start < len(records):
        yield records[start:]


def encode(rows: Sequence[EventRecord] | Sequence[Outcome]) -> str:
    """The feed's message."""
    return _encoder.encode(rows).decode()


def told(records: Sequence[EventRecord], identity: UUID) -> str:
    """The feed message with new events of that log."""
    return encode([msgspec.structs.replace(records[0], log=identity), *records[1:]])


def decode_records(message: str) -> list[EventRecord]:
    """Raises UnknownVersion for a message of a later release."""
    return [current(record) for record in _records.decode(message)]


def decode_outcomes(message: str) -> list[Outcome]:
    """Raises UnknownVersion for a message of a later release."""
    return [current(outcome) for outcome in _outcomes.decode(message)]


def microseconds(moment: datetime) -> int:
    """Unix time in microseconds of an aware datetime, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """The aware datetime (UTC) of Unix time in microseconds, exactly."""
    return _EPOCH + timedelta(microseconds=microseconds)


@lru_cache(maxsize=256)
def timestamp(microseconds: int) -> str:
    """RFC 3339, UTC, with microseconds. All events of a batch have the same timestamp."""
    return moment(microseconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def cloud_event(record: EventRecord, source: str) -> CloudEvent:
    """The record in the form for clients; for its `source`, see `runtime/branches.py`."""
    return CloudEvent(
        id=str(record.seq),
        type=record.type,
        subject=record.subject,
        time=timestamp(record.occurred_at),
        seq=record.seq,
        commandid=str(record.command_id),
        actor=record.actor,
        data=record.data,
        source=source,
    )
