"""Roles and scopes: the most that each role may do. A role includes those before it; a scope names one kind of access.

A session or an API key may carry fewer scopes than its role allows, never more.
"""

from collections.abc import Iterable
from typing import Final

GUEST: Final = "guest"
CUSTOMER: Final = "customer"
STAFF: Final = "staff"
ADMIN: Final = "admin"

ROLES: Final = (GUEST, CUSTOMER, STAFF, ADMIN)
"""Each includes those before it."""

_STAFF_ROLES: Final = frozenset(ROLES[ROLES.index(STAFF) :])

ACCOUNT_ROLES: Final = (CUSTOMER, STAFF, ADMIN)
"""Roles that an account or an API key can have; guests have neither."""

# A profile is what is known about a person; for a guest, the address on the order.
_GUEST_SCOPES: Final = frozenset({"orders:read", "orders:write", "profile:write"})
_STAFF_SCOPES: Final = _GUEST_SCOPES | {
    "catalogue:read",
    "inventory:read",
    "inventory:write",
    "events:read",
    "reports:write",
    "exports:read",
    "webhooks:write",
    "tasks:write",
    "metrics:read",
}
SCOPES_OF_ROLE: Final = {
    GUEST: _GUEST_SCOPES,
    CUSTOMER: _GUEST_SCOPES,
    STAFF: _STAFF_SCOPES,
    ADMIN: _STAFF_SCOPES | {"catalogue:write", "imports:write", "users:write", "keys:write"},
}
"""The most that each role may do."""


def is_staff(role: str) -> bool:
    """Whether the role is staff or higher; an unknown role is not."""
    return role in _STAFF_ROLES


def allowed(role: str, scopes: Iterable[str]) -> bool:
    """Whether the role allows all these scopes."""
    return SCOPES_OF_ROLE[role].issuperset(scopes)
