"""The guards: each holds at least the seq of the last change to what it guards; otherwise a batch could have been
decided on an earlier state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.model import Shop
from runtime.entities import ENTITIES, EntityTable
from runtime.proof.report import Report


class Guards:
    """Tracks for each guard the seq at which what it guards last changed, while one subject after another is folded."""

    def __init__(self) -> None:
        self._changed = {table.guard.name: 0 for table in ENTITIES if table.guard is not None}
        self._of_new_rows = {table.guard.name for table in ENTITIES if table.guard is not None and table.guard.new_rows}
        self._known: dict[tuple[str, Any], tuple[Any, ...]] = {}
        self._before_batch: dict[tuple[str, Any], tuple[Any, ...] | None] = {}
        self._batch_at: datetime | None = None
        self._batch_seq = 0

    def begin_subject(self, entities: Sequence[EntityTable], shop: Shop) -> None:
        """Starts with a subject as it is in the shop."""
        for table in entities:
            if table.guard is not None:
                for key, state in shop.of(table.state).items():
                    self._known[(table.guard.name, key)] = table.guarded(state)

    def follow(self, seq: int, at: datetime, entities: Sequence[EntityTable], shop: Shop) -> None:
        """Follows the subject's next event, after it has been folded. Events of one batch have the same moment."""
        guarded = [table for table in entities if table.guard is not None]
        if not guarded:
            return
        if at != self._batch_at:
            self._end_batch()
            self._batch_at = at
        self._batch_seq = seq
        for table in guarded:
            assert table.guard is not None
            for key, state in shop.of(table.state).items():
                now, place = table.guarded(state), (table.guard.name, key)
                before = self._known.get(place)
                if before != now:
                    self._before_batch.setdefault(place, before)
                    self._known[place] = now

    def end_subject(self) -> None:
        """The subject has no more events."""
        self._end_batch()
        self._known.clear()
        self._batch_at = None

    def compare(self, seqs: Mapping[str, int], last_seq: int, report: Report) -> None:
        """Compares the table: the `seqs` by name. Unknown guards may belong to a later release."""
        for name, changed in self._changed.items():
            if not changed <= seqs.get(name, 0) <= last_seq:
                report.differ(
                    "guards",
                    name,
                    "is not at the last change of what it guards",
                    guard=seqs.get(name, 0),
                    changed=changed,
                    last=last_seq,
                )

    def _end_batch(self) -> None:
        """Only the net effect of a batch counts: nobody else saw changes that it reverted, or intermediate states of
        what it created."""
        for place, before in self._before_batch.items():
            if self._known[place] != before and (before is not None or place[0] in self._of_new_rows):
                self._changed[place[0]] = max(self._changed[place[0]], self._batch_seq)
        self._before_batch.clear()
