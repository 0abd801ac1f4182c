"""What the log discloses: the scope that one needs to read an event of each type, beside being staff.

Whoever may read the whole log may read each of its events. A noun that nobody has thought of here is read by them only.
"""

from collections.abc import Collection, Iterable
from typing import Final

READS_ALL: Final = "events:read"

_SCOPE_OF_NOUN: Final = {
    "product": None,
    "category": None,
    "order": "orders:read",
    "stock": "inventory:read",
    "webhook": "webhooks:write",
}


def may_read(event_type: str, scopes: Collection[str]) -> bool:
    """Whether staff with these scopes may read events of this type."""
    return READS_ALL in scopes or _scope_for(event_type) is None or _scope_for(event_type) in scopes


def lacking(event_types: Iterable[str], scopes: Collection[str]) -> list[str]:
    """The scopes that are wanting to read events of all these types."""
    return sorted({_scope_for(each) or "" for each in event_types if not may_read(each, scopes)})


def _scope_for(event_type: str) -> str | None:
    return _SCOPE_OF_NOUN.get(event_type.partition(".")[0], READS_ALL)
