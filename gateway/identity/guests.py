"""Guests: whoever orders without an account. Each order has a principal of its own, and a token that speaks for it."""

import hashlib
from typing import Final
from uuid import UUID

from fastapi import Request

from domain.model import Actor
from domain.orders import GUEST_PREFIX
from domain.roles import GUEST
from gateway.identity.authenticator import Authenticator
from gateway.web.requests import canonical, idempotency_key
from runtime.entropy import random_bits

_PRINCIPAL_BYTES: Final = 16


def principal(request: Request, body: bytes) -> Actor:
    """The guest who sends this order. Who knows both the Idempotency-Key and all of the order, the address in it too,
    is the same guest, who repeats it; with either alone, a stranger gets a token for nothing but an order of the
    stranger's own."""
    key = idempotency_key(request)
    if key is None:
        return Actor.in_role(f"{GUEST_PREFIX}{random_bits():016x}{random_bits():016x}", GUEST)
    known = hashlib.blake2b(key.encode() + b"\n" + canonical(body), digest_size=_PRINCIPAL_BYTES)
    return Actor.in_role(GUEST_PREFIX + known.hexdigest(), GUEST)


def token(authenticator: Authenticator, guest: Actor, command_id: UUID, *, lifetime_seconds: int) -> str:
    """The link token: a bearer token for the guest's one order, as unguessable as any signature of ours. It counts from
    when the order was accepted, as its command's id says: so a repetition is answered with the same one, byte for byte,
    while the keys and the lifetime that it is made with stay the same."""
    accepted_at = (command_id.int >> 80) / 1000
    return authenticator.mint(guest.principal, guest.role, lifetime_seconds=lifetime_seconds, now=accepted_at)
