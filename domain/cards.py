"""Prepaid money that can pay for orders: gift cards, and customers' store credit. Both are cards of one ledger, under
the card's id. The posted amount is what is on the card, in minor units of its currency; the pending amount is what
orders hold of it until they are confirmed.
"""

import hashlib
from typing import Final
from uuid import UUID

from domain.ledgers import Ledger

CARDS: Final = Ledger("card_balances")


def store_credit_id(customer_id: str, currency: str) -> UUID:
    """The id of the card with a customer's store credit in a currency; deterministic (a UUIDv8, RFC 9562)."""
    digest = hashlib.blake2b(f"{currency}\n{customer_id}".encode(), digest_size=16, person=b"store credit").digest()
    number = int.from_bytes(digest)
    return UUID(int=number & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62)


def card_key(card_id: UUID) -> str:
    """The card's key in the ledger."""
    return str(card_id)
