"""A process's cache of the shop's terms: they are read again only when their guard has moved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple
from uuid import UUID

import msgspec

from domain.model import Entity
from domain.quote.terms import NO_TERMS, Terms
from domain.terms import TermsPart, terms_from


class _Known(NamedTuple):
    """Terms, with the identity of their log and the seq of their guard."""

    identity: UUID
    seq: int
    terms: Terms


class TermsMemory:
    """The terms, for one process, with the shop's providers of taxes and live delivery rates, if any."""

    def __init__(self, *, tax_provider: str | None = None, delivery_provider: str | None = None) -> None:
        self._asks = {"tax_provider": tax_provider, "delivery_provider": delivery_provider}
        self._known: _Known | None = None

    @property
    def last(self) -> Terms:
        """The latest known terms; empty before the first read."""
        return NO_TERMS if self._known is None else self._known.terms

    def known(self, identity: UUID, seq: int) -> Terms | None:
        """The terms of a log whose guard has this seq, if they are known: a guard that never moved guards none."""
        known = self._known
        if known is not None and (known.identity, known.seq) == (identity, seq):
            return known.terms
        return NO_TERMS if seq == 0 else None

    async def at(self, identity: UUID, seq: int, read: Callable[[], Awaitable[Iterable[Entity]]]) -> Terms:
        """The terms of a log whose guard has this seq; `read` reads their parts. They may include newer ones,
        stated during the read: then the guard has moved, and a batch that used them is decided again."""
        terms = self.known(identity, seq)
        if terms is None:
            said = terms_from(part for part in await read() if isinstance(part, TermsPart))
            terms = msgspec.structs.replace(said, **self._asks)
        self._known = _Known(identity, seq, terms)
        return terms
