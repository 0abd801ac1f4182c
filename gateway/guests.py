"""Guests: whoever orders without an account. Each order has a principal of its own, and a token that speaks for it."""

import hashlib
from typing import Final

from fastapi import Request

from domain.model import Who
from domain.orders import GUEST_PREFIX
from gateway.edge import Edge
from gateway.requests import idempotency_key
from runtime.entropy import random_bits

_PRINCIPAL_BYTES: Final = 16


def principal(request: Request, body: bytes) -> Who:
    """The guest who sends this order. Who knows both the Idempotency-Key and every byte of the order, the address in it
    too, is the same guest, who repeats it; with either alone, a stranger gets a token for nothing but an order of the
    stranger's own."""
    key = idempotency_key(request)
    if key is None:
        return Who(f"{GUEST_PREFIX}{random_bits():016x}{random_bits():016x}", staff=False)
    known = hashlib.blake2b(key.encode() + b"\n" + body, digest_size=_PRINCIPAL_BYTES)
    return Who(GUEST_PREFIX + known.hexdigest(), staff=False)


def token(edge: Edge, guest: Who) -> str:
    """The link token: a bearer token for the guest's one order, as unguessable as any signature of ours."""
    return edge.authenticator.mint(guest.principal, "guest", lifetime_seconds=edge.config.guest_token_seconds)
