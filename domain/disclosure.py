"""Who may read what: the scope that staff need for each type of event, and for drafts and archived products in the
catalogue.

READS_ALL allows every event, and is required for those of any entity that is not listed here.
"""

from collections.abc import Collection, Iterable
from typing import Final

READS_ALL: Final = "events:read"
READS_DRAFTS: Final = "catalogue:read"
_WRITES_DRAFTS: Final = "catalogue:write"

_SCOPE_OF_ENTITY: Final = {
    "product": READS_DRAFTS,
    "category": None,
    "order": "orders:read",
    "stock": "inventory:read",
    "webhook": "webhooks:write",
}


def may_read(event_type: str, scopes: Collection[str]) -> bool:
    """Whether staff with these scopes may read events of this type."""
    needed = _scope_for(event_type)
    if needed == READS_DRAFTS:
        return READS_ALL in scopes or may_see_drafts(scopes)
    return READS_ALL in scopes or needed is None or needed in scopes


def may_see_drafts(scopes: Collection[str]) -> bool:
    """Whether staff with these scopes see the whole catalogue. Those who may change it always do."""
    return READS_DRAFTS in scopes or _WRITES_DRAFTS in scopes


def lacking(event_types: Iterable[str], scopes: Collection[str]) -> list[str]:
    """The scopes still needed to read events of all these types."""
    return sorted({_scope_for(each) or "" for each in event_types if not may_read(each, scopes)})


def _scope_for(event_type: str) -> str | None:
    return _SCOPE_OF_ENTITY.get(event_type.partition(".")[0], READS_ALL)
