"""The codes of gift cards: 20 characters, 100 bits, so a plain fast hash is safe to store.

A code is derived from the card's id and a key, and stored nowhere. So the code of a purchased card need not be kept
until it is mailed, and a repeated mail has the same code. The hash is of the code alone: after a change of the key, the
codes that people have remain valid, but can no longer be derived.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final, NamedTuple
from uuid import UUID

from domain.limits import GIFT_CARD_SHOWN_CHARS
from runtime.settings import Settings

CHARS: Final = 20
_GROUP_CHARS: Final = 5
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: without I, L, O and U."""
_FROM_BASE32: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", _ALPHABET)
_READ_AS: Final = str.maketrans({"I": "1", "L": "1", "O": "0", " ": None, "-": None})
_PURPOSE: Final = b"tidegate gift card code\0"


class CardCode(NamedTuple):
    """A code; its hash, and the part of it that may be `shown`, both of which are stored."""

    code: str
    code_hash: str
    shown: str


class CardCodes:
    """Derives codes with one key."""

    def __init__(self, config: Settings) -> None:
        self._key = (config.gift_card_key or config.jwt_secret).get_secret_value().encode()

    def of(self, card_id: UUID) -> CardCode:
        """The code of the card."""
        digest = hmac.digest(self._key, _PURPOSE + card_id.bytes, "sha256")
        text = base64.b32encode(digest).decode()[:CHARS].translate(_FROM_BASE32)
        groups = (text[start : start + _GROUP_CHARS] for start in range(0, CHARS, _GROUP_CHARS))
        return CardCode("-".join(groups), _hash(text), text[-GIFT_CARD_SHOWN_CHARS:])


def hash_of_typed(code: str) -> str | None:
    """The hash of a code as somebody typed it: in either case, with or without hyphens and spaces, and with I, L and O
    read as the digits that they look like. None if it cannot be a code."""
    text = code.upper().translate(_READ_AS)
    return _hash(text) if len(text) == CHARS and all(char in _ALPHABET for char in text) else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
