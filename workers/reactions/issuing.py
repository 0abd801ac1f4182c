"""Issues the gift cards that people buy: one for each piece, once its order is fulfilled, worth what the piece cost.

A card's id is derived from its order, line and piece, so handling an event again issues nothing twice. Its code is in
no command and no event: the mail to the buyer derives it from the card's id (see `runtime/gift_card_codes.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar, Final
from uuid import UUID

from domain.catalogue import GIFT_CARD
from domain.gift_cards import IssueGiftCard
from domain.ids import milliseconds_of, new_id, slot_of_id
from domain.model import Secret
from domain.orders import OrderFulfilled
from runtime.gift_card_codes import CardCodes
from runtime.records import EventRecord
from workers.reactions.commanding import DECIDED_MAX_SECONDS, have_decided
from workers.reactions.core import Reaction, Tools

_BOUGHT: Final = """
    SELECT o.currency, l.position, l.quantity, l.unit_price_minor
    FROM orders o JOIN order_lines l ON l.order_id = o.id JOIN variants v ON v.sku = l.sku
    WHERE o.id = $1 AND v.kind = $2 AND l.unit_price_minor > 0 ORDER BY l.position
"""
_ISSUED: Final = "SELECT id FROM gift_cards WHERE order_id = $1"
_AT_ONCE: Final = 200


class Issuing(Reaction):
    """Issues the gift cards of fulfilled orders."""

    name = "issuing"
    interests = frozenset({OrderFulfilled.type})
    begins_at_end = True
    # Cards that exist are not issued again, so an order of very many cards makes progress with each attempt.
    handle_max_seconds: ClassVar[float] = DECIDED_MAX_SECONDS

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools.config)
        self._tools = tools
        self._codes = CardCodes(tools.config)

    async def handle(self, record: EventRecord) -> None:
        order_id, pool = UUID(record.subject), self._tools.pool
        lines = await pool.fetch(_BOUGHT, order_id, GIFT_CARD)
        if not lines:
            return
        issued = {UUID(int=row["id"].int) for row in await pool.fetch(_ISSUED, order_id)}
        missing = (
            self._issue(card_id, currency, worth_minor, order_id)
            for currency, position, quantity, worth_minor in lines
            for card_id in _card_ids(order_id, position, quantity)
            if card_id not in issued
        )
        while some := list(islice(missing, _AT_ONCE)):
            await have_decided(self._tools, [(f"issue:{issue.card_id}", issue) for issue in some])

    def _issue(self, card_id: UUID, currency: str, worth_minor: int, order_id: UUID) -> IssueGiftCard:
        code = self._codes.of(card_id)
        return IssueGiftCard(card_id, Secret(code.code_hash), code.shown, currency, worth_minor, order_id=order_id)


def _card_ids(order_id: UUID, position: int, quantity: int) -> Iterator[UUID]:
    """The ids of a line's cards: deterministic, and in the order's slot."""
    for piece in range(quantity):
        digest = hashlib.blake2b(f"{order_id} {position} {piece}".encode(), digest_size=8).digest()
        yield new_id(milliseconds_of(order_id), slot_of_id(order_id), int.from_bytes(digest))
