"""Guests: people who order without an account. An order without a token creates a new principal, who gets a token."""

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
    address, counts as a repetition by the same guest. A stranger who has only one of the two gets a token for a new
    order of their own, and for no other."""
    key = idempotency_key(request)
    if key is None:
        return stranger()
    known = hashlib.blake2b(key.encode() + b"\n" + canonical(body), digest_size=_PRINCIPAL_BYTES)
    return Actor.in_role(GUEST_PREFIX + known.hexdigest(), GUEST)


def stranger() -> Actor:
    """A new guest with a random principal, for requests that contain nothing to recognise the guest by."""
    return Actor.in_role(f"{GUEST_PREFIX}{random_bits():016x}{random_bits():016x}", GUEST)


def token(authenticator: Authenticator, guest: Actor, command_id: UUID, *, lifetime_seconds: int) -> str:
    """The link token: the guest's bearer token, signed like any other. Its lifetime counts from when the order was
    accepted, which is in the command's id, so a repetition gets the same token, byte for byte, as long as the signing
    key and the lifetime setting stay the same."""
    accepted_at = milliseconds_of(command_id) / 1000
    return authenticator.mint(guest.principal, guest.role, lifetime_seconds=lifetime_seconds, now=accepted_at)
