"""Money that was paid before, and pays for orders: gift cards, and customers' store credit. Both are cards of one
ledger. Under a card's id is posted what is on it, in minor units of its one currency, and pending is what orders hold
of that until they are confirmed.
"""

import hashlib
from typing import Final
from uuid import UUID

from domain.ledgers import Ledger

CARDS: Final = Ledger("card_balances")


def store_credit_id(customer_id: str, currency: str) -> UUID:
    """The card that is a customer's store credit in a currency: always the same (a UUIDv8, RFC 9562)."""
    digest = hashlib.blake2b(f"{currency}\n{customer_id}".encode(), digest_size=16, person=b"store credit").digest()
    number = int.from_bytes(digest)
    return UUID(int=number & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62)


def card_key(card_id: UUID) -> str:
    """The card's key in the ledger."""
    return str(card_id)
