"""Events and commands of earlier versions are read in today's form, and those of later releases are not guessed at."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain import versions
from domain.accounts import CreateAccount
from domain.model import COMMANDS, EVENTS, Actor, Personal, Secret
from domain.stock import ReceiveStock, StockReceived
from domain.versions import UnknownVersion, missing_steps, upcast
from runtime import envelope as envelopes
from runtime import records
from runtime.envelope import ENVELOPE_FIELD, SCHEMA_VERSION, VERSION_FIELD, Envelope, UnreadableEntry
from runtime.records import APPLIED, EventRecord, Outcome
from tests import versioned

ADA = Actor.in_role("ada", "staff")
NOBODY = UUID(int=0)


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> None:
    versioned.received(monkeypatch)


def record(data: str, version: int) -> EventRecord:
    return EventRecord(7, "stock.received", "MUG", NOBODY, "ada", 0, msgspec.Raw(data.encode()), version)


def entry(envelope: Envelope) -> dict[bytes, bytes]:
    return {VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: envelopes.encode(envelope)}


def test_there_is_a_step_from_every_earlier_version() -> None:
    kinds: list[versions.Kind] = [*EVENTS.values(), *COMMANDS]
    assert {kind.__name__: missing for kind in kinds if (missing := missing_steps(kind))} == {}


def test_a_version_without_a_step_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StockReceived, "schema_version", 3)
    monkeypatch.setitem(versions._STEPS, (StockReceived, 1), dict)
    assert missing_steps(StockReceived) == [2]


def test_steps_are_taken_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StockReceived, "schema_version", 3)
    monkeypatch.setitem(versions._STEPS, (StockReceived, 1), lambda said: [*said, 1])
    monkeypatch.setitem(versions._STEPS, (StockReceived, 2), lambda said: [*said, 2])
    assert [upcast(StockReceived, number, []) for number in (1, 2, 3)] == [[1, 2], [2], []]


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize("version", [0, 3])
def test_a_version_of_a_later_release_is_not_guessed(version: int) -> None:
    with pytest.raises(UnknownVersion, match=rf"StockReceived of version {version} .* knows 2"):
        upcast(StockReceived, version, {})
    with pytest.raises(UnknownVersion):
        records.read_event("stock.received", version, versioned.first_event("MUG", 5))
    with pytest.raises(UnknownVersion):
        records.decode_records(records.encode([record("{}", version)]))


@pytest.mark.usefixtures("second")
@pytest.mark.parametrize("said", ["{}", "[]", "7", "null"])
def test_data_that_does_not_fit_its_version_is_unreadable(said: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        records.read_event("stock.received", 1, said)


@pytest.mark.usefixtures("second")
def test_old_and_new_events_are_read_alike_even_from_the_feed() -> None:
    event = StockReceived("MUG", 5)
    old = record(versioned.first_event("MUG", 5), versioned.FIRST)
    new = record(msgspec.json.encode(event).decode(), versioned.SECOND)
    read = records.decode_records(records.encode([old, new]))
    assert read == [new, new]
    assert [each.event() for each in read] == [event, event]
    assert records.read_event(old.type, old.version, old.data) == event


@pytest.mark.usefixtures("second")
def test_an_outcome_written_by_the_previous_release_can_be_read() -> None:
    old = Outcome(
        NOBODY, APPLIED, 7, "stock.received", 0, msgspec.Raw(versioned.first_event("MUG", 5).encode()), versioned.FIRST
    )
    (read,) = records.decode_outcomes(records.encode([old]))
    assert msgspec.json.decode(read.data) == {"sku": "MUG", "quantity": 5, "reference": None}


def test_a_record_from_before_versions_is_version_1() -> None:
    written: list[Any] = msgspec.json.decode(records.encode([record(versioned.first_event("MUG", 5), 1)]))
    (read,) = records.decode_records(msgspec.json.encode([written[0][:-2]]).decode())
    assert read.version == 1


@pytest.mark.usefixtures("second")
def test_an_old_command_is_read_in_today_s_form() -> None:
    old = versioned.sealed(envelopes.seal(ReceiveStock("X", 1), ADA), versioned.FIRST)
    old = msgspec.structs.replace(old, command=versioned.first_command("MUG", 5))
    assert envelopes.decode(entry(old))[1] == ReceiveStock("MUG", 5)
    shown = envelopes.read_request(envelopes.encode(old))
    assert shown == {"type": "ReceiveStock", "sku": "MUG", "quantity": 5, "reference": None}
    new = envelopes.seal(ReceiveStock("MUG", 5), ADA)
    assert (new.version, envelopes.decode(entry(new))[1]) == (versioned.SECOND, ReceiveStock("MUG", 5))


def test_a_command_of_a_later_release_says_so() -> None:
    later = versioned.sealed(envelopes.seal(ReceiveStock("MUG", 5), ADA), versioned.SECOND)
    with pytest.raises(UnreadableEntry, match="ReceiveStock of version 2") as caught:
        envelopes.decode(entry(later))
    assert caught.value.code == "unknown_schema_version"
    assert caught.value.envelope == later


@pytest.mark.usefixtures("second")
def test_a_command_that_does_not_fit_its_version_is_unreadable() -> None:
    garbage = versioned.sealed(envelopes.seal(ReceiveStock("MUG", 5), ADA), versioned.FIRST)
    with pytest.raises(UnreadableEntry) as caught:
        envelopes.decode(entry(garbage))
    assert caught.value.code == "unreadable_command"


def _swapped(fields: list[Any]) -> list[Any]:
    """As if accounts' ids had once come last."""
    *rest, account_id = fields
    return [account_id, *rest]


def test_personal_data_in_an_old_command_is_blanked_wherever_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CreateAccount, "schema_version", 2)
    monkeypatch.setitem(versions._STEPS, (CreateAccount, 1), _swapped)
    account = ["ada@example.com", "Ada", "customer", "a hash", True, str(NOBODY)]
    old = envelopes.seal(CreateAccount(NOBODY, Personal("a@x.org"), Personal("A"), "customer", Secret("h")), ADA)
    old = msgspec.structs.replace(
        old, version=1, command=msgspec.Raw(msgspec.msgpack.encode(["CreateAccount", *account]))
    )
    _, command = envelopes.decode(entry(old))
    kept = envelopes.record(old, envelopes.encode(old), command)
    assert not any(private in kept.envelope for private in (b"ada@example.com", b"Ada", b"a hash"))
    shown = envelopes.read_request(kept.envelope)
    assert (shown["account_id"], shown["role"]) == (str(NOBODY), "customer")
    # In one that could not be read, there is no telling what was where.
    unread = envelopes.record(old, envelopes.encode(old), None)
    assert unread.lost == (envelopes.EVERYTHING,)
    assert b"Ada" not in unread.envelope
