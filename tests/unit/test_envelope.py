"""Mailbox entries: they round-trip unchanged, and one that cannot be read says why."""

import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import new_id
from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS, ORDER_MAX_LINES, PRINCIPAL_MAX_CHARS
from domain.model import COMMANDS, Actor, Command, Personal, Private, Wanted, private_fields
from domain.orders import CancelOrder, PlaceOrder
from domain.roles import ROLES, SCOPES_OF_ROLE
from domain.stock import AdjustStock, ReceiveStock
from runtime import envelope as envelopes
from runtime.envelope import ENVELOPE_FIELD, SCHEMA_VERSION, VERSION_FIELD, Envelope, UnreadableEntry

ORDER = new_id(1_700_000_000_000, 77, 1)
COMMAND = new_id(1_700_000_000_000, 77, 2)

text = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=64)
ids = st.builds(new_id, st.integers(0, 2**48 - 1), st.integers(0, 4095), st.integers(0, 2**62 - 1))
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(
        PlaceOrder,
        ids,
        text,
        st.lists(st.builds(Wanted, text, st.integers(1, 10**8)), min_size=1, max_size=5).map(tuple),
        st.none() | st.just(Personal("guest@example.com")),
    ),
    st.builds(CancelOrder, ids),
    st.builds(ReceiveStock, text, st.integers(1, 10**7), st.none() | text),
    st.builds(AdjustStock, text, st.integers(-(10**7), 10**7).filter(bool), text),
)


def envelope(command: Command | msgspec.Raw) -> Envelope:
    raw = command if isinstance(command, msgspec.Raw) else envelopes.encode_command(command)
    return Envelope(COMMAND, "ann", False, 1_700_000_000_000_000, raw)


def entry(content: bytes, version: bytes = SCHEMA_VERSION) -> dict[bytes, bytes]:
    return {VERSION_FIELD: version, ENVELOPE_FIELD: content}


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(value))


sent_envelopes = st.builds(
    Envelope,
    ids,
    text,
    st.booleans(),
    st.integers(0, 4 * 10**15),
    commands.map(envelopes.encode_command),
    st.none() | text,
    st.none() | text,
    st.none() | st.binary(min_size=16, max_size=16),
    st.booleans(),
)


@given(sent_envelopes)
def test_an_envelope_round_trips_through_a_mailbox(sent: Envelope) -> None:
    got, _ = envelopes.decode(entry(envelopes.encode(sent)))
    assert got == sent


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("scopes", [None, frozenset({"orders:read"})])
def test_an_envelope_carries_its_actor(role: str, scopes: frozenset[str] | None) -> None:
    actor = Actor("ann", role, SCOPES_OF_ROLE[role] if scopes is None else scopes, True)
    sealed = envelopes.seal(CancelOrder(ORDER), actor, development=True)
    got, _ = envelopes.decode(entry(envelopes.encode(sealed)))
    assert got.actor() == actor


@pytest.mark.parametrize(
    ("principal", "staff", "role"), [("ann", False, "customer"), ("guest:1", False, "guest"), ("sam", True, "staff")]
)
def test_an_older_envelope_without_a_role_has_the_one_it_always_meant(principal: str, staff: bool, role: str) -> None:
    short = msgspec.msgpack.encode([COMMAND, principal, staff, 1, raw(["CancelOrder", str(ORDER)])])
    read, _ = envelopes.decode(entry(short))
    assert read.actor() == Actor.in_role(principal, role)


def test_an_unknown_role_has_no_rights() -> None:
    read, _ = envelopes.decode(
        entry(envelopes.encode(msgspec.structs.replace(envelope(raw(["CancelOrder", str(ORDER)])), role="emperor")))
    )
    assert (read.actor().is_staff, read.actor().scopes) == (False, frozenset())


@given(commands)
def test_a_command_round_trips_through_its_envelope(command: Command) -> None:
    _, got = envelopes.decode(entry(envelopes.encode(envelope(command))))
    assert (type(got), got) == (type(command), command)


def test_a_field_that_was_appended_later_may_be_missing() -> None:
    short = msgspec.msgpack.encode([COMMAND, "ann", False, 1, raw(["CancelOrder", str(ORDER)])])
    read, command = envelopes.decode(entry(short))
    assert (read.reply_to, read.idempotency_key, read.fingerprint, read.development) == (None, None, None, False)
    assert command == CancelOrder(ORDER)
    _, received = envelopes.decode(entry(envelopes.encode(envelope(raw(["ReceiveStock", "MUG", 5])))))
    assert received == ReceiveStock("MUG", 5, None)


@pytest.mark.parametrize("fields", [entry(b"", b"2"), entry(b"", b""), {}, {b"x": b"y"}, {ENVELOPE_FIELD: b""}])
def test_a_schema_version_that_is_not_ours_is_named(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(UnreadableEntry) as caught:
        envelopes.decode(fields)
    assert caught.value.code == "unknown_schema_version"
    assert repr(fields.get(VERSION_FIELD)) in caught.value.detail
    assert caught.value.envelope is None


@given(st.binary(max_size=200))
def test_garbage_is_not_an_envelope(content: bytes) -> None:
    with pytest.raises(UnreadableEntry) as caught:
        envelopes.decode(entry(content))
    assert (caught.value.code, caught.value.envelope) == ("unreadable_envelope", None)


@given(sent_envelopes, st.data())
def test_a_garbled_envelope_is_read_or_says_why_not(sent: Envelope, data: st.DataObject) -> None:
    content = bytearray(envelopes.encode(sent))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UnreadableEntry):
        envelopes.decode(entry(bytes(content)))


DEEP = b"\x91" * 100_000 + b"\xc0"
NO_UTF8 = b"\xa2\xff\xfe"


@pytest.mark.parametrize("command", [DEEP, NO_UTF8], ids=["deep", "no UTF-8"])
def test_invalid_utf8_and_endless_nesting_are_unreadable(command: bytes) -> None:
    start = msgspec.msgpack.encode([COMMAND, "ann", False, 1])[1:]
    for content in (b"\x95" + start + command, b"\x95" + start + b"\x91" + command, command):
        with pytest.raises(UnreadableEntry):
            envelopes.decode(entry(content))


@pytest.mark.parametrize(
    "fields",
    [
        {VERSION_FIELD: SCHEMA_VERSION},
        entry(msgspec.msgpack.encode([])),
        entry(msgspec.msgpack.encode(["no uuid", "ann", False, 1, None])),
        entry(msgspec.msgpack.encode([COMMAND, 7, False, 1, None])),
        entry(msgspec.msgpack.encode([COMMAND, "ann", False, 1])),
        entry(msgspec.msgpack.encode([COMMAND, "ann", False, 1, None]).replace(b"ann", b"a\xff\xfe")),
    ],
)
def test_an_envelope_needs_its_parts(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(UnreadableEntry) as caught:
        envelopes.decode(fields)
    assert (caught.value.code, caught.value.envelope) == ("unreadable_envelope", None)


# What Postgres cannot store could not even be put aside.
@pytest.mark.parametrize(
    "unstorable",
    [
        msgspec.structs.replace(envelope(CancelOrder(ORDER)), principal="an\x00n"),
        msgspec.structs.replace(envelope(CancelOrder(ORDER)), idempotency_key="k\x00"),
        msgspec.structs.replace(envelope(CancelOrder(ORDER)), accepted_at=2**62),
        msgspec.structs.replace(envelope(CancelOrder(ORDER)), accepted_at=-1),
        msgspec.structs.replace(envelope(CancelOrder(ORDER)), principal="a" * (PRINCIPAL_MAX_CHARS + 1)),
        msgspec.structs.replace(envelope(CancelOrder(ORDER)), idempotency_key="k" * (IDEMPOTENCY_KEY_MAX_CHARS + 1)),
    ],
)
def test_an_envelope_contains_nothing_that_tables_cannot_store(unstorable: Envelope) -> None:
    with pytest.raises(UnreadableEntry) as caught:
        envelopes.decode(entry(envelopes.encode(unstorable)))
    assert (caught.value.code, caught.value.envelope) == ("unreadable_envelope", None)


def test_an_envelope_may_be_from_any_time() -> None:
    for moment in (datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)):
        microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (moment.resolution)
        sent = msgspec.structs.replace(envelope(CancelOrder(ORDER)), accepted_at=microseconds)
        assert envelopes.decode(entry(envelopes.encode(sent)))[0] == sent


@pytest.mark.parametrize(
    "command",
    [
        raw(None),
        raw([]),
        raw(["Explode"]),
        raw(["CancelOrder"]),
        raw(["CancelOrder", "no uuid"]),
        raw(["CancelOrder", str(ORDER), "a field too many"]),
        raw(["PlaceOrder", str(ORDER), "ann", []]),
        raw(["PlaceOrder", str(ORDER), "ann", [["MUG", 0]]]),
        raw(["PlaceOrder", str(ORDER), "ann", [["MUG", -1]]]),
        raw(["PlaceOrder", str(ORDER), "ann", [["MUG", 1.5]]]),
        raw(["PlaceOrder", str(ORDER), "ann", [["MUG", 1]] * (ORDER_MAX_LINES + 1)]),
        raw(["ReceiveStock", "MUG", 0]),
        raw(["ReceiveStock", "MUG", 10**9]),
        raw(["AdjustStock", "MUG", -(10**9), "counted"]),
    ],
)
def test_a_command_that_cannot_be_read_keeps_its_envelope(command: msgspec.Raw) -> None:
    sent = envelope(command)
    with pytest.raises(UnreadableEntry) as caught:
        envelopes.decode(entry(envelopes.encode(sent)))
    assert (caught.value.code, caught.value.envelope) == ("unreadable_command", sent)
    assert caught.value.detail


def test_the_audit_record_names_the_command() -> None:
    request = envelopes.encode(envelope(ReceiveStock("MUG", 5, "PO-7")))
    assert envelopes.read_request(request) == {"type": "ReceiveStock", "sku": "MUG", "quantity": 5, "reference": "PO-7"}
    assert envelopes.read_request(envelopes.encode(envelope(raw(["Explode", 1])))) == {"type": "Explode"}


@pytest.mark.parametrize(
    "command", [raw(["CancelOrder", b"\xff"]), raw([b"\xff", 1]), raw(["ReceiveStock", "MUG", {1: [None]}]), raw("x")]
)
def test_the_audit_record_of_garbage_can_be_shown(command: msgspec.Raw) -> None:
    json.dumps(envelopes.read_request(envelopes.encode(envelope(command))))


PRIVATE = ("ada@example.com", "Ada Lovelace", "$argon2id$hash")
CREATES = ["CreateAccount", str(ORDER), *PRIVATE[:2], "customer", PRIVATE[2]]


@pytest.mark.parametrize(
    ("command", "lost"),
    [
        (CREATES, ("email", "name", "password_hash")),
        ([*CREATES, False, "Ada Lovelace"], ("email", "name", "password_hash", "field 7")),
        (["ChangeAccount", str(ORDER), "Ada Lovelace"], ("name",)),
        (["ChangeAccount", str(ORDER), None, "staff"], ()),
        (["PlaceOrder", str(ORDER), "guest:1", [["MUG", 1]], "ada@example.com"], ("email",)),
        (["PlaceOrder", str(ORDER), "ann", [["MUG", 1]]], ()),
        (["ReceiveStock", "MUG", 5], ()),
        (["Explode", "ada@example.com"], ("*",)),
        (["ada@example.com"], ("*",)),
        ([], ("*",)),
        ("ada@example.com", ("*",)),
    ],
)
def test_the_record_of_a_command_has_no_private_data(command: object, lost: tuple[str, ...]) -> None:
    sent = envelope(raw(command))
    accepted = envelopes.encode(sent)
    kept = envelopes.record(sent, accepted, None)
    assert kept.lost == lost
    assert (kept.envelope == accepted) is (lost == ())
    assert not any(each.encode() in kept.envelope for each in PRIVATE)
    if lost and lost != ("*",):
        shown = envelopes.read_request(kept.envelope)
        assert {field for field, value in shown.items() if value == "(hidden)"} == {*lost} - {"field 7"}
    with suppress(UnreadableEntry):
        read, known = envelopes.decode(entry(accepted))
        assert envelopes.record(read, accepted, known) == kept


def test_nothing_private_hides_deeper_in_a_command() -> None:
    """`record` blanks a command's own fields: what was nested deeper would stay."""

    def kinds(hint: Any) -> Iterator[Any]:
        yield hint
        for part in get_args(hint):
            yield from kinds(part)

    for command in COMMANDS:
        for field, hint in get_type_hints(command).items():
            for kind in kinds(hint):
                if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                    assert not private_fields(kind), f"{command.__name__}.{field}"
                if isinstance(kind, type) and issubclass(kind, Private):
                    assert field in private_fields(command), f"{command.__name__}.{field}"
