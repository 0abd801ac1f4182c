"""Guests: people who order without an account. Whoever orders without a token becomes a new principal, and gets one."""

import hashlib
from typing import Final
from uuid import UUID

from fastapi import Request

from domain.ids import milliseconds_of
from domain.model import Actor
from domain.orders import GUEST_PREFIX
from domain.roles import GUEST
from gateway.identity.authenticator import Authenticator
from gateway.web.requests import canonical, idempotency_key
from runtime.entropy import random_bits

_PRINCIPAL_BYTES: Final = 16


def principal(request: Request, body: bytes) -> Actor:
    """The guest who sends this order. A request with the same Idempotency-Key and exactly the same order, including the
    address, is a repetition by the same guest; with only one of them, a stranger gets a token for nothing but an order
    of their own."""
    key = idempotency_key(request)
    if key is None:
        return stranger()
    known = hashlib.blake2b(key.encode() + b"\n" + canonical(body), digest_size=_PRINCIPAL_BYTES)
    return Actor.in_role(GUEST_PREFIX + known.hexdigest(), GUEST)


def stranger() -> Actor:
    """A guest whom nobody can be taken for, who has said nothing yet that others could not say as well."""
    return Actor.in_role(f"{GUEST_PREFIX}{random_bits():016x}{random_bits():016x}", GUEST)


def token(authenticator: Authenticator, guest: Actor, command_id: UUID, *, lifetime_seconds: int) -> str:
    """The link token: the guest's bearer token, as unguessable as any of our signatures. Its lifetime
    counts from when the order was accepted, which is in its command's id: so a repetition gets the same token, byte for
    byte, as long as the signing key and the lifetime setting stay the same."""
    accepted_at = milliseconds_of(command_id) / 1000
    return authenticator.mint(guest.principal, guest.role, lifetime_seconds=lifetime_seconds, now=accepted_at)
