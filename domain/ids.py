"""Identifiers: UUIDv7 (RFC 9562) whose 12 `rand_a` bits hold the slot, so that an id tells its mailbox.

A slot is one of 4,096 places on a ring that never changes; each mailbox has a share of the ring. So the mailbox of
every later command about an order follows from its id alone, without a look-up. Randomness and time come from the
caller; nothing here reads a clock.
"""

from typing import Final
from uuid import UUID, SafeUUID
from zlib import crc32

import msgspec

SLOT_COUNT: Final = 4096

_VERSION_7: Final = 0x7 << 76
_VARIANT_RFC: Final = 0b10 << 62
_RANDOM_MASK: Final = (1 << 62) - 1

_new: Final = object.__new__
_set: Final = object.__setattr__
_UNKNOWN: Final = SafeUUID.unknown


def new_id(now_ms: int, slot: int, random: int) -> UUID:
    """A UUIDv7 for the millisecond `now_ms` (Unix time) that carries `slot` and the low 62 bits of `random`."""
    made: UUID = _new(UUID)  # the constructor takes three times as long, because it accepts many forms
    _set(made, "int", now_ms << 80 | _VERSION_7 | slot << 64 | _VARIANT_RFC | random & _RANDOM_MASK)
    _set(made, "is_safe", _UNKNOWN)
    return made


def text_of(identifier: UUID) -> str:
    """An id as `str` writes it, in a fifth of the time."""
    text: str = msgspec.to_builtins(identifier)
    return text


def milliseconds_of(identifier: UUID) -> int:
    """The millisecond in an id (Unix time)."""
    return identifier.int >> 80


def slot_of_id(identifier: UUID) -> int:
    """The slot in an id, 0..4095."""
    return (identifier.int >> 64) & (SLOT_COUNT - 1)


def slot_of_key(key: str) -> int:
    """The slot of something with a name instead of an id (a SKU, an idempotency key), 0..4095."""
    return crc32(key.encode()) % SLOT_COUNT


def mailbox_of_slot(slot: int, mailbox_count: int) -> int:
    """The mailbox, 0..mailbox_count-1, that a slot belongs to: equal, contiguous shares of the ring."""
    return slot * mailbox_count // SLOT_COUNT
