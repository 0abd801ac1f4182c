"""Event records and outcomes: unchanged through the feed and to the outside, to the microsecond."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import new_id
from domain.model import EVENTS, Event, Line
from domain.orders import OrderPlaced
from domain.refusals import CommandRejected
from domain.stock import StockReceived
from runtime import records
from runtime.records import APPLIED, EventRecord, Outcome

ORDER = new_id(1_700_000_000_000, 77, 1)
COMMAND = new_id(1_700_000_000_000, 77, 2)
MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds the zone


def record(event: Event, seq: int = 7) -> EventRecord:
    data = msgspec.Raw(msgspec.json.encode(event))
    return EventRecord(seq, event.type, event.subject(), COMMAND, "ann", 1_700_000_000_123_456, data)


@given(MOMENTS)
def test_microseconds_are_exact_both_ways(moment: datetime) -> None:
    assert records.moment(records.microseconds(moment)) == moment


@given(st.integers(0, 253_402_300_799_999_999))
def test_every_microsecond_round_trips(microseconds: int) -> None:
    assert records.microseconds(records.moment(microseconds)) == microseconds
    assert datetime.fromisoformat(records.timestamp(microseconds)) == records.moment(microseconds)


def test_a_time_is_the_same_in_every_zone() -> None:
    here = datetime(2026, 11, 5, 14, 30, 0, 1, tzinfo=timezone(timedelta(hours=2)))
    assert records.microseconds(here) == records.microseconds(here.astimezone(UTC))
    assert records.timestamp(records.microseconds(here)) == "2026-11-05T12:30:00.000001Z"


@pytest.mark.parametrize(
    "event",
    [
        OrderPlaced(ORDER, "ann", "GBP", 800, (Line("LAMP", 2, 250), Line("MUG", 3, 100))),
        StockReceived("MUG", 5, "PO-7"),
        CommandRejected(COMMAND, "PlaceOrder", "insufficient_stock", "Not enough.", {"lines": [{"sku": "MUG"}]}),
    ],
)
def test_an_event_record_round_trips_with_its_event(event: Event) -> None:
    sent = [record(event, 7), record(event, 8)]
    got = records.decode_records(records.encode(sent))
    assert got == sent
    assert [each.event() for each in got] == [event, event]


def test_an_outcome_round_trips() -> None:
    sent = [Outcome(COMMAND, APPLIED, 7, "stock.received", 1_700_000_000_123_456, msgspec.Raw(b'{"sku":"MUG"}'))]
    assert records.decode_outcomes(records.encode(sent)) == sent


def test_data_that_does_not_match_its_event_type_is_refused() -> None:
    wrong = EventRecord(1, "order.placed", "x", COMMAND, "ann", 0, msgspec.Raw(b'{"sku":"MUG"}'))
    with pytest.raises(msgspec.ValidationError):
        wrong.event()


def test_events_are_published_as_cloud_events() -> None:
    shown = msgspec.json.decode(msgspec.json.encode(records.cloud_event(record(StockReceived("MUG", 5)), "urn:uuid:1")))
    assert shown == {
        "specversion": "1.0",
        "id": "7",
        "source": "urn:uuid:1",
        "type": "stock.received",
        "subject": "MUG",
        "time": "2023-11-14T22:13:20.123456Z",
        "datacontenttype": "application/json",
        "seq": 7,
        "commandid": str(COMMAND),
        "actor": "ann",
        "data": {"sku": "MUG", "quantity": 5, "reference": None},
    }


def test_every_event_type_is_known_by_its_name_in_the_log() -> None:
    assert {name: event_type.type for name, event_type in EVENTS.items()} == {name: name for name in EVENTS}
