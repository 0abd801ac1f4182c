"""What a round has loaded of the stored fold, kept by its process for the next round: nearly every window is about the
same balances and prices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from domain.ledgers import Balance, Ledger
from domain.model import Entity
from runtime.database import Connection
from runtime.entities import EntityTable
from runtime.proof.entities import FoldedEntity
from runtime.proof.stored import PRICED, PRICED_TABLES, Position, folded_entity

_BALANCES: Final = "SELECT key, posted, pending FROM folded_balances WHERE ledger = $1 AND key = ANY($2)"
_PRICED: Final = f"{PRICED} AND key = ANY($1)"


class Loaded(msgspec.Struct, frozen=True):
    """The balances after a window that it moved, and by SKU the entities that determine the prices of what it ordered.
    It holds for the `position` at which the window ended, and no more than a window is about."""

    position: Position = Position()
    balances: Mapping[Ledger, Mapping[str, Balance]] = {}
    priced: Mapping[str, list[Entity]] = {}

    def holds_at(self, position: Position) -> bool:
        """Whether the fold is still where it was: the same events, by their digest, fold into the same states."""
        return (self.position.seq, self.position.digest) == (position.seq, position.digest)


NOTHING_LOADED: Final = Loaded()


async def load_balances(
    connection: Connection, loaded: Loaded, ledger: Ledger, keys: Iterable[str]
) -> dict[str, Balance]:
    """The folded balances of these keys, without those that nothing has moved yet."""
    known = loaded.balances.get(ledger, {})
    found = {key: known[key] for key in keys if key in known}
    if missing := [key for key in keys if key not in known]:
        for key, posted, pending in await connection.fetch(_BALANCES, ledger.name, missing):
            found[key] = Balance(posted, pending)
    return found


async def load_priced(connection: Connection, loaded: Loaded, skus: Iterable[str]) -> dict[str, list[Entity]]:
    """The folded entities that determine the prices of these SKUs: for each SKU, those there are."""
    known = loaded.priced
    found = {sku: known[sku] for sku in skus if sku in known}
    if missing := [sku for sku in skus if sku not in known]:
        found |= {sku: [] for sku in missing}
        for row in await connection.fetch(_PRICED, missing):
            found[row["key"]].append(folded_entity(row)[1].state)
    return found


def unchanged(
    priced: Mapping[str, list[Entity]], changed: Iterable[tuple[EntityTable, str, FoldedEntity]]
) -> dict[str, list[Entity]]:
    """Those of the entities that the window has not changed."""
    gone = {getattr(each.state, table.key) for table, _, each in changed if table.table.name in PRICED_TABLES}
    return {sku: entities for sku, entities in priced.items() if sku not in gone}
