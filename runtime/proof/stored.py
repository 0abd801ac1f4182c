"""The stored fold: how it keeps states, and whether this code can go on from it. Its tables are in
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

# Raise it when a rule folds the same events to another state than before: what is stored is then made again.
_RULES: Final = 1

_DIGEST_BYTES: Final = 16

# The kinds that have a meaning: types of events by their version, states by their fields.
_EVENT: Final = "event "
_STATE: Final = "state "

POSITION: Final = "SELECT seq, at, digest, meaning, numbers FROM fold_position"
ORDERS: Final = "SELECT order_id::text, state, placed_at, updated_at, placed_seq FROM folded_orders"
ENTITIES_FOLDED: Final = "SELECT subject, table_name, key, state, created_at, updated_at FROM folded_entities"

PRICED: Final = f"{ENTITIES_FOLDED} WHERE table_name IN ('{variants.name}', '{sku_prices.name}')"
"""What `Prices` begins with; the key is the SKU."""

BY_TABLE: Final[Mapping[str, EntityTable]] = {each.table.name: each for each in ENTITIES}

_encode: Final = msgspec.msgpack.Encoder().encode
_order: Final = msgspec.msgpack.Decoder(Order)
_read_meanings: Final = msgspec.json.Decoder(dict[str, str]).decode
_numbers: Final = msgspec.json.Decoder(dict[str, int])


class Position(NamedTuple):
    """How far the log was folded: the last event's seq, its moment, the digest of the log up to it, and how many
    numbers of each series it gave out. All that is empty if nothing was folded."""

    seq: int = 0
    at: datetime | None = None
    digest: bytes = b""
    numbers: Mapping[str, int] = MappingProxyType({})


def position(row: asyncpg.Record) -> Position:
    """The position in a row of POSITION: the log's beginning if the fold means nothing to this code."""
    return held_position(row) if row["meaning"] == meaning() else Position()


def held_position(row: asyncpg.Record) -> Position:
    """The position in such a row, whatever the fold means."""
    return Position(row["seq"], row["at"], row["digest"], _numbers.decode(row["numbers"]))


@cache
def meaning() -> str:
    """Stands for what states and events look like, kind by kind, as JSON: another release may read another thing in
    what is stored."""
    return msgspec.json.encode(_meanings(), order="sorted").decode()


def unknown_to(folded_with: str) -> frozenset[str] | None:
    """What this code knows more than the one with that meaning: types of events. If the log has none of them, it can
    go on from that one's fold. None if it cannot in any case, since one of them reads another thing in the same."""
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
            return None  # what was folded may be about it, too
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
    """What a state consists of, down to the last field of what is in it; whatever is said about them does not count."""
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
    """A folded state. What is private is not in the log, so it holds none."""
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
"""A row of the log with everything that it holds."""


class Digest:
    """A running digest of the log, event by event, from where another one ended."""

    def __init__(self, before: bytes) -> None:
        self._hash = hashlib.blake2b(before, digest_size=_DIGEST_BYTES)

    def follow(self, row: asyncpg.Record) -> None:
        """Takes the log's next event, a row of LOG_ROW."""
        seq, event_type, subject, at, data, version, command_id, actor = row
        said = (str(seq), event_type, subject, at.isoformat(), str(version), command_id.hex, actor, data)
        self._hash.update("\x1f".join(said).encode())

    def value(self) -> bytes:
        """The digest of the log up to the last event."""
        return self._hash.digest()
