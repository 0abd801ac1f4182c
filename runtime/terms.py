"""The shop's terms, as a process remembers them: they are read again only when their guard has moved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple
from uuid import UUID

from domain.model import Entity
from domain.quote.terms import Terms
from domain.terms import TermsPart, terms_from


class _Known(NamedTuple):
    """Terms, and which log they are of, when its guard had which seq."""

    identity: UUID
    seq: int
    terms: Terms


class TermsMemory:
    """The terms, for one process."""

    def __init__(self) -> None:
        self._known: _Known | None = None

    async def at(self, identity: UUID, seq: int, read: Callable[[], Awaitable[Iterable[Entity]]]) -> Terms:
        """The terms of a log whose guard has this seq; `read` reads their parts. Those that were stated meanwhile may
        be among them: then the guard has moved, and what a batch decides on them is decided again."""
        known = self._known
        if known is None or (known.identity, known.seq) != (identity, seq):
            terms = terms_from(part for part in await read() if isinstance(part, TermsPart))
            known = self._known = _Known(identity, seq, terms)
        return known.terms
