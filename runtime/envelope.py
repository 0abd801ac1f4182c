"""What lies in a mailbox: an envelope (who asks, when, where the answer goes) around one encoded command.

An entry has two fields: `v`, the schema version, and `e`, the envelope in msgpack. The command inside stays encoded
until the envelope is read, so that a command nobody can read still has an id, a principal and someone to tell.
"""

import time
from typing import Annotated, Final, Union, get_args, get_type_hints
from uuid import UUID

import msgspec

from domain.ids import new_id
from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS, PRINCIPAL_MAX_CHARS
from domain.model import COMMANDS, Command, Secret, Who
from runtime.entropy import random_bits

SCHEMA_VERSION: Final = b"1"
VERSION_FIELD: Final = b"v"
ENVELOPE_FIELD: Final = b"e"

# The last moment of the year 9999: Python knows no later one.
MOMENT_MAX_MICROSECONDS: Final = 253_402_300_799_999_999


class Envelope(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """`accepted_at` is in microseconds of Unix time. `fingerprint` is the digest of the request that used the
    idempotency key; `reply_to` the channel of the gateway that waits for the outcome, if one does."""

    command_id: UUID
    principal: Annotated[str, msgspec.Meta(max_length=PRINCIPAL_MAX_CHARS)]
    staff: bool
    accepted_at: Annotated[int, msgspec.Meta(ge=0, le=MOMENT_MAX_MICROSECONDS)]
    command: msgspec.Raw
    reply_to: str | None = None
    idempotency_key: Annotated[str, msgspec.Meta(max_length=IDEMPOTENCY_KEY_MAX_CHARS)] | None = None
    fingerprint: bytes | None = None

    @property
    def who(self) -> Who:
        return Who(self.principal, self.staff)


class UnreadableEntry(Exception):
    """An entry that cannot be read; `code` says why, `envelope` is there if at least that could be."""

    def __init__(self, code: str, detail: str, envelope: Envelope | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.envelope = envelope


_HIDDEN: Final = "(hidden)"

# What bytes that are no message of ours make msgspec raise: besides its own errors, for text that is no UTF-8 and for
# nesting without end.
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _reveal(value: object) -> str:
    assert isinstance(value, Secret), f"{value!r} has no place in a command"
    return value.value


def _conceal(kind: type, value: object) -> Secret:
    assert kind is Secret, f"{kind} has no place in a command"
    if not isinstance(value, str):
        raise ValueError("a secret is text")
    return Secret(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_reveal)
_envelopes = msgspec.msgpack.Decoder(Envelope)
_commands = msgspec.msgpack.Decoder(
    Union[tuple(COMMANDS)],  # noqa: UP007 - the members are known at run time only
    dec_hook=_conceal,
)


def seal(
    command: Command,
    who: Who,
    *,
    reply_to: str | None = None,
    idempotency_key: str | None = None,
    fingerprint: bytes | None = None,
) -> Envelope:
    """The envelope of a command that is accepted now; its id carries the command's slot."""
    accepted_at = time.time_ns() // 1_000
    command_id = new_id(accepted_at // 1_000, command.slot(), random_bits())
    return Envelope(
        command_id,
        who.principal,
        who.staff,
        accepted_at,
        encode_command(command),
        reply_to,
        idempotency_key,
        fingerprint,
    )


def encode_command(command: Command) -> msgspec.Raw:
    """The command as it travels inside an envelope."""
    return msgspec.Raw(_encoder.encode(command))


def encode(envelope: Envelope) -> bytes:
    """The envelope as it lies in the mailbox, the value of field `e`."""
    return _encoder.encode(envelope)


def decode(entry: dict[bytes, bytes]) -> tuple[Envelope, Command]:
    """Reads one mailbox entry. Raises UnreadableEntry with a stable code for anything that is not one."""
    version = entry.get(VERSION_FIELD)
    if version != SCHEMA_VERSION:
        raise UnreadableEntry("unknown_schema_version", f"schema version {version!r} is not {SCHEMA_VERSION!r}")
    try:
        envelope = _envelopes.decode(entry[ENVELOPE_FIELD])
    except (KeyError, *_UNREADABLE) as error:
        raise UnreadableEntry("unreadable_envelope", str(error)) from None
    if "\0" in envelope.principal or (envelope.idempotency_key and "\0" in envelope.idempotency_key):
        # Postgres has no such text: not even the failure could be recorded under this name.
        raise UnreadableEntry("unreadable_envelope", "a name contains a zero byte")
    try:
        return envelope, _commands.decode(envelope.command)
    except _UNREADABLE as error:
        raise UnreadableEntry("unreadable_command", str(error), envelope) from None


def _named(struct: msgspec.Struct) -> dict[str, object]:
    """The struct's fields by name, and those of the structs in it: on the wire they only have places."""
    return {name: _shown(value) for name, value in msgspec.structs.asdict(struct).items()}


def _shown(value: object) -> object:
    if isinstance(value, Secret):
        return _HIDDEN
    if isinstance(value, msgspec.Struct):
        return _named(value)
    if isinstance(value, tuple):
        return [_shown(item) for item in value]
    shown: object = msgspec.to_builtins(value)
    return shown


def read_request(request: bytes) -> dict[str, object]:
    """An envelope's command as JSON-ready data, for people who audit the `commands` table: also one that no worker
    could read, as far as it goes. Raises what reading raises."""
    command = _envelopes.decode(request).command
    try:
        known = _commands.decode(command)
    except msgspec.MsgspecError:
        pass  # shown as it lies there
    else:
        return {"type": type(known).__name__, **_named(known)}
    name, *fields = msgspec.msgpack.decode(command)
    command_type = next((known for known in COMMANDS if known.__name__ == name), None)
    if command_type is None:
        return {"type": msgspec.to_builtins(name)}
    secrets = _secrets_of(command_type)
    shown = {
        field: _HIDDEN if field in secrets else value
        for field, value in zip(command_type.__struct_fields__, fields, strict=False)
    }
    said: dict[str, object] = msgspec.to_builtins({"type": name, **shown}, str_keys=True)
    return said


def holds_secret(request: bytes) -> bool:
    """Whether an envelope's bytes must not be shown as they are, for its command is of a type that carries secrets. Of
    one that cannot be read, nobody can tell."""
    try:
        name = msgspec.msgpack.decode(_envelopes.decode(request).command)[0]
    except (*_UNREADABLE, TypeError, LookupError):
        return False
    return any(known.__name__ == name and _secrets_of(known) for known in COMMANDS)


def _secrets_of(command_type: type[Command]) -> set[str]:
    """The fields of a type of command that hold secrets."""
    kinds = get_type_hints(command_type)
    return {field for field in command_type.__struct_fields__ if Secret in (kinds[field], *get_args(kinds[field]))}
