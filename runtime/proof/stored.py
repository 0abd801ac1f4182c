"""The stored fold: how states are encoded in it, and whether this release can continue from it. Its tables are in
`runtime/tables/fold.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from domain.model import EVENTS, Order
from runtime.entities import ENTITIES, EntityTable
from runtime.proof.entities import FoldedEntity
from runtime.proof.orders import FoldedOrder
from runtime.tables import sku_prices, variants

# Increase it when a rule folds the same events into a different state than before: the stored fold is then rebuilt.
_RULES: Final = 1

_DIGEST_BYTES: Final = 16

# Prefixes of the keys of `_meanings`: types of events mean their version, states their fields.
_EVENT: Final = "event "
_STATE: Final = "state "

POSITION: Final = "SELECT seq, at, digest, meaning, numbers FROM fold_position"
ORDERS: Final = "SELECT order_id::text, state, placed_at, updated_at, placed_seq FROM folded_orders"
ENTITIES_FOLDED: Final = "SELECT subject, table_name, key, state, created_at, updated_at FROM folded_entities"

PRICED_TABLES: Final = (variants.name, sku_prices.name)
"""The entities that `Prices` starts with; the key is the SKU."""

PRICED: Final = f"{ENTITIES_FOLDED} WHERE table_name IN {PRICED_TABLES}"

BY_TABLE: Final[Mapping[str, EntityTable]] = {each.table.name: each for each in ENTITIES}

_encode: Final = msgspec.msgpack.Encoder().encode
_order: Final = msgspec.msgpack.Decoder(Order)
_read_meanings: Final = msgspec.json.Decoder(dict[str, str]).decode
_numbers: Final = msgspec.json.Decoder(dict[str, int])


class Position(NamedTuple):
    """How far the log is folded: the last event's seq, its moment, the digest of the log up to it, and how many numbers
    of each series had been given out. All of it is empty if nothing is folded."""

    seq: int = 0
    at: datetime | None = None
    digest: bytes = b""
    numbers: Mapping[str, int] = MappingProxyType({})


def position(row: asyncpg.Record) -> Position:
    """The position in a row of POSITION; the log's beginning if this release cannot continue from the fold."""
    return held_position(row) if row["meaning"] == meaning() else Position()


def held_position(row: asyncpg.Record) -> Position:
    """The position in a row of POSITION, whichever release has made the fold."""
    return Position(row["seq"], row["at"], row["digest"], _numbers.decode(row["numbers"]))


@cache
def meaning() -> str:
    """A fingerprint, as JSON, of how this release defines each kind of state and event. Another release may interpret
    the stored fold differently."""
    return msgspec.json.encode(_meanings(), order="sorted").decode()


def unknown_to(folded_with: str) -> frozenset[str] | None:
    """The types of events that this release knows and the one with that meaning does not. If the folded log has none of
    them, this release can continue from the other's fold. None if it cannot in any case, because the two interpret the
    same kind differently."""
    try:
        before = _read_meanings(folded_with)
    except msgspec.MsgspecError:
        return None
    now = _meanings()
    if any(now.get(kind) != said for kind, said in before.items()):
        return None
    new = frozenset(EVENTS) - {kind.removeprefix(_EVENT) for kind in before if kind.startswith(_EVENT)}
    for each in ENTITIES:
        is_new = _STATE + each.state.__name__ not in before
        if is_new and any(name.startswith(each.events) and name not in new for name in EVENTS):
            return None  # events that were already folded may concern it, too
    return new


@cache
def _meanings() -> Mapping[str, str]:
    states: list[type[msgspec.Struct]] = [Order, *(each.state for each in ENTITIES)]
    return {
        "rules": str(_RULES),
        **{_EVENT + name: str(kind.schema_version) for name, kind in EVENTS.items()},
        **{_STATE + kind.__name__: _digest(shape(kind)) for kind in states},
    }


def shape(kind: type[msgspec.Struct]) -> bytes:
    """The structure of a state, down to the last nested field, without any descriptions."""
    schema = msgspec.json.schema(kind, schema_hook=lambda other: {"type": other.__qualname__})
    return msgspec.json.encode(_without_words(schema), order="sorted")


def _without_words(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_words(each) for each in schema]
    if isinstance(schema, dict):
        words = {name for name in ("title", "description") if isinstance(schema.get(name), str)}
        return {name: _without_words(each) for name, each in schema.items() if name not in words}
    return schema


def _digest(said: bytes) -> str:
    return hashlib.blake2b(said, digest_size=_DIGEST_BYTES).hexdigest()


def encode(state: msgspec.Struct) -> bytes:
    """Encodes a folded state, which holds no private data, because the log has none."""
    return _encode(state)


def folded_order(row: asyncpg.Record) -> FoldedOrder:
    """The order in a row of ORDERS."""
    _, state, placed_at, updated_at, placed_seq = row
    return FoldedOrder(_order.decode(state), placed_at, updated_at, placed_seq)


def folded_entity(row: asyncpg.Record) -> tuple[EntityTable, FoldedEntity]:
    """The entity in a row of ENTITIES_FOLDED."""
    entity_table = BY_TABLE[row["table_name"]]
    state = _decoder(entity_table.state).decode(row["state"])
    return entity_table, FoldedEntity(state, row["created_at"], row["updated_at"])


@cache
def _decoder(kind: type[msgspec.Struct]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)


LOG_ROW: Final = "seq, type, subject, occurred_at, data::text, version, command_id, actor"
"""All columns of an event."""


class Digest:
    """A running digest of the log, event by event, continuing from an earlier one."""

    def __init__(self, before: bytes) -> None:
        self._hash = hashlib.blake2b(before, digest_size=_DIGEST_BYTES)

    def follow(self, row: asyncpg.Record) -> None:
        """Adds the log's next event, a row of LOG_ROW."""
        seq, event_type, subject, at, data, version, command_id, actor = row
        said = (str(seq), event_type, subject, at.isoformat(), str(version), command_id.hex, actor, data)
        self._hash.update("\x1f".join(said).encode())

    def value(self) -> bytes:
        """The digest of the log up to the last event."""
        return self._hash.digest()
