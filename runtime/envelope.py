"""The content of a mailbox entry: an envelope (who asks, when, where the answer goes) around one encoded command. An
entry has two fields: `v`, the schema version, and `e`, the envelope in msgpack. The command is decoded after the
envelope, so that an unreadable command still has an id, a principal and a reply channel.
"""

import time
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias, Union
from uuid import UUID

import msgspec

from domain.ids import new_id
from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS, PRINCIPAL_MAX_CHARS
from domain.model import COMMANDS, Actor, Command, Private, holds_private, private_fields
from domain.orders import is_guest
from domain.roles import CUSTOMER, GUEST, SCOPES_OF_ROLE, STAFF
from domain.versions import UnknownVersion, upcast
from runtime import tracing
from runtime.entropy import random_bits

SCHEMA_VERSION: Final = b"1"
VERSION_FIELD: Final = b"v"
ENVELOPE_FIELD: Final = b"e"
TRACEPARENT_MAX_CHARS: Final = 55

# The last moment of the year 9999, the latest that Python can represent.
MOMENT_MAX_MICROSECONDS: Final = 253_402_300_799_999_999


class Envelope(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`accepted_at` is in microseconds of Unix time. `fingerprint` is the digest of the request that used the
    idempotency key; `reply_to` is the channel of the gateway that waits for the outcome, if one does; `development` is
    whether the process that accepted it was in development mode. Without `scopes`, all scopes of the role apply.
    `version` is the command's. `traceparent` (W3C) is the span in which it was sent, if that is recorded. `staff` is
    what envelopes had before `role`; workers of an earlier release still read it."""

    command_id: UUID
    principal: Annotated[str, msgspec.Meta(max_length=PRINCIPAL_MAX_CHARS)]
    staff: bool
    accepted_at: Annotated[int, msgspec.Meta(ge=0, le=MOMENT_MAX_MICROSECONDS)]
    command: msgspec.Raw
    reply_to: str | None = None
    idempotency_key: Annotated[str, msgspec.Meta(max_length=IDEMPOTENCY_KEY_MAX_CHARS)] | None = None
    fingerprint: bytes | None = None
    development: bool = False
    role: str | None = None
    scopes: tuple[str, ...] | None = None
    version: int = 1
    traceparent: Annotated[str, msgspec.Meta(max_length=TRACEPARENT_MAX_CHARS)] | None = None

    def actor(self) -> Actor:
        """The actor on whose behalf the command runs."""
        role = self.role or _role_before_it_was_named(self.principal, staff=self.staff)
        scopes = SCOPES_OF_ROLE.get(role, _NO_SCOPES) if self.scopes is None else frozenset(self.scopes)
        return Actor(self.principal, role, scopes, self.development)


DeadLetterCode: TypeAlias = Literal[
    "unknown_schema_version",
    "unreadable_envelope",
    "unreadable_command",
    "rule_raised",
    "foreign_write",
    "write_refused",
]
"""Why an entry is dead-lettered."""


class UnreadableEntry(Exception):
    """An entry that cannot be read; `code` says why; with its `envelope` if at least that could be read."""

    def __init__(self, code: DeadLetterCode, detail: str, envelope: Envelope | None = None) -> None:
        super().__init__(detail)
        self.code: DeadLetterCode = code
        self.detail = detail
        self.envelope = envelope


_NO_SCOPES: Final = frozenset[str]()

_HIDDEN: Final = "(hidden)"

EVERYTHING: Final = "*"
"""Stands for all the fields of an unreadable command, of which only the name is stored."""

# What msgspec raises for bytes that are not one of our messages: besides its own errors, those for invalid UTF-8 and
# for endless nesting.
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _reveal(value: object) -> str:
    assert isinstance(value, Private), f"{value!r} has no place in a command"
    return value.value


def _conceal(kind: type, value: object) -> Private:
    assert issubclass(kind, Private), f"{kind} has no place in a command"
    if not isinstance(value, str):
        raise ValueError("private data is text")
    return kind(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_reveal)
_envelopes = msgspec.msgpack.Decoder(Envelope)
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(
    Union[tuple(COMMANDS)],  # noqa: UP007 - the members are known at run time only
    dec_hook=_conceal,
)


def seal(
    command: Command,
    actor: Actor,
    *,
    reply_to: str | None = None,
    idempotency_key: str | None = None,
    fingerprint: bytes | None = None,
    development: bool = False,
) -> Envelope:
    """An envelope for a command accepted now; its id carries the command's slot."""
    accepted_at = time.time_ns() // 1_000
    command_id = new_id(accepted_at // 1_000, command.slot(), random_bits())
    return Envelope(
        command_id,
        actor.principal,
        actor.is_staff,
        accepted_at,
        encode_command(command),
        reply_to,
        idempotency_key,
        fingerprint,
        development,
        actor.role,
        named_scopes(actor),
        command.schema_version,
        tracing.traceparent(),
    )


def named_scopes(actor: Actor) -> tuple[str, ...] | None:
    """The scopes as an envelope states them: None if they are all scopes of the role, as is usual."""
    of_role = SCOPES_OF_ROLE.get(actor.role)
    return None if actor.scopes is of_role or actor.scopes == of_role else tuple(sorted(actor.scopes))


def _role_before_it_was_named(principal: str, *, staff: bool) -> str:
    return STAFF if staff else GUEST if is_guest(principal) else CUSTOMER


def encode_command(command: Command) -> msgspec.Raw:
    """The command as it travels inside an envelope."""
    return msgspec.Raw(_encoder.encode(command))


def encode(envelope: Envelope) -> bytes:
    """The envelope as stored in the mailbox, the value of field `e`."""
    return _encoder.encode(envelope)


def decode(entry: dict[bytes, bytes]) -> tuple[Envelope, Command]:
    """Reads one mailbox entry. Raises UnreadableEntry with a stable code for anything else."""
    version = entry.get(VERSION_FIELD)
    if version != SCHEMA_VERSION:
        raise UnreadableEntry("unknown_schema_version", f"schema version {version!r} is not {SCHEMA_VERSION!r}")
    try:
        envelope = _envelopes.decode(entry[ENVELOPE_FIELD])
    except (KeyError, *_UNREADABLE) as error:
        raise UnreadableEntry("unreadable_envelope", str(error)) from None
    if "\0" in envelope.principal or (envelope.idempotency_key and "\0" in envelope.idempotency_key):
        # Postgres cannot store such text: not even the failure could be recorded under this name.
        raise UnreadableEntry("unreadable_envelope", "a name contains a zero byte")
    try:
        return envelope, _read_command(envelope)
    except UnknownVersion as error:
        raise UnreadableEntry("unknown_schema_version", str(error), envelope) from None
    except _UNREADABLE as error:
        raise UnreadableEntry("unreadable_command", str(error), envelope) from None


def _read_command(envelope: Envelope) -> Command:
    """The command inside, in its type's current version. Raises UnknownVersion if it is from a later release, and one
    of _UNREADABLE if it is not a command."""
    try:
        command = _commands.decode(envelope.command)
    except _UNREADABLE:
        kind = _kind_of(envelope.command)
        if kind is None or kind.schema_version == envelope.version:
            raise
    else:
        kind = type(command)
        if kind.schema_version == envelope.version:
            return command
    name, *fields = msgspec.msgpack.decode(envelope.command)
    return _commands.decode(msgspec.msgpack.encode([name, *upcast(kind, envelope.version, fields)]))


def _kind_of(command: msgspec.Raw) -> type[Command] | None:
    """The type that an encoded command names, if it names one."""
    try:
        name, *_ = msgspec.msgpack.decode(command)
    except (*_UNREADABLE, TypeError, ValueError):
        return None
    return _COMMANDS_BY_NAME.get(name) if isinstance(name, str) else None


def _named(struct: msgspec.Struct) -> dict[str, object]:
    """The struct's fields by name, including those of nested structs: on the wire they only have positions."""
    return {name: _shown(value) for name, value in msgspec.structs.asdict(struct).items()}


def _shown(value: object) -> object:
    if isinstance(value, Private):
        return _HIDDEN
    if isinstance(value, msgspec.Struct):
        return _named(value)
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    shown: object = msgspec.to_builtins(value)
    return shown


def traceparent_of(request: bytes) -> str | None:
    """The traceparent of the command recorded in these bytes."""
    try:
        return _envelopes.decode(request).traceparent
    except _UNREADABLE:
        return None


def read_request(request: bytes) -> dict[str, object]:
    """An envelope's command as JSON-ready data, for people who audit the `commands` table; as far as possible even if
    no worker could read it. Raises what decoding raises."""
    envelope = _envelopes.decode(request)
    command = envelope.command
    try:
        known = _read_command(envelope)
    except msgspec.MsgspecError:
        pass  # shown as stored
    else:
        return {"type": type(known).__name__, **_named(known)}
    name, *fields = msgspec.msgpack.decode(command)
    command_type = _COMMANDS_BY_NAME.get(name) if isinstance(name, str) else None
    if command_type is None or command_type.schema_version != envelope.version:
        return {"type": msgspec.to_builtins(name)}
    private = private_fields(command_type)
    shown = {
        field: _HIDDEN if field in private and value is not None else value
        for field, value in zip(command_type.__struct_fields__, fields, strict=False)
    }
    said: dict[str, object] = msgspec.to_builtins({"type": name, **shown}, str_keys=True)
    return said


class Record(NamedTuple):
    """What may be stored of a command: its envelope's bytes without private data, and the `lost` fields, which would be
    missing if it were sent again."""

    envelope: bytes
    lost: tuple[str, ...] = ()


def record(envelope: Envelope, accepted: bytes, command: Command | None) -> Record:
    """What may be stored of a command that was `accepted` in these bytes. If the command is unreadable (None), every
    field that is private in its type, or not part of it, is blanked; for an unknown type or version, only the name is
    stored, because the rest may be anything."""
    if command is not None and not holds_private(command):
        return Record(accepted)
    if command is not None and command.schema_version != envelope.version:
        # The positions of private fields are those of the current version.
        envelope = msgspec.structs.replace(envelope, command=encode_command(command), version=command.schema_version)
    try:
        name, *fields = msgspec.msgpack.decode(envelope.command)
    except (*_UNREADABLE, TypeError, ValueError):
        return Record(_without(envelope, None), (EVERYTHING,))
    kind = _COMMANDS_BY_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        is_name = isinstance(name, str) and name.isidentifier()
        return Record(_without(envelope, [name] if is_name else None), (EVERYTHING,))
    if kind.schema_version != envelope.version:
        return Record(_without(envelope, [name]), (EVERYTHING,))
    known, private = kind.__struct_fields__, private_fields(kind)
    lost = []
    for place, value in enumerate(fields):
        field = known[place] if place < len(known) else f"field {place + 1}"
        if value is not None and (field in private or place >= len(known)):
            fields[place] = ""
            lost.append(field)
    return Record(_without(envelope, [name, *fields]), tuple(lost)) if lost else Record(accepted)


def _without(envelope: Envelope, command: object) -> bytes:
    return encode(msgspec.structs.replace(envelope, command=msgspec.Raw(msgspec.msgpack.encode(command))))


_COMMANDS_BY_NAME: Final = {command.__name__: command for command in COMMANDS}
