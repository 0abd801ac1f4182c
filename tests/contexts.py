"""Contexts to try rules in."""

from datetime import UTC, datetime
from typing import Final

from domain.model import Actor, Context
from domain.roles import SCOPES_OF_ROLE

_LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


def context(principal: str, role: str = "customer", *, development: bool = False, at: datetime = _LONG_AGO) -> Context:
    """An actor with all the rights of the role."""
    return Context(Actor(principal, role, SCOPES_OF_ROLE[role], development), at)
