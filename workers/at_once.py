"""Optimistic batches: a small batch is decided without any lock, and written in one statement if nothing has changed
since it read.

Everything that a batch is decided on changes only together with the log: every change adds an event. So the batch reads
the log's last seq, then the rows it needs; it decides, and takes its places in the log only if the last seq and the
position of each mailbox are still the same (positions too, because an entry without effect adds no event). For new
orders this takes two round trips; a batch that locks what it needs takes seven. As long as batches are small and one
process does the work, it hardly ever fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from workers.places import taking
from workers.statements import Part

# The rows that the statement changes belong to its own mailboxes, but an erasure may hold them, and any batch may hold
# a unique value. Such a batch may be waiting for the counter, which this statement already holds, so a short lock
# timeout prevents a deadlock (see `workers/rows.py` for the order of locks).
_GIVE_WAY: Final = "SELECT set_config('lock_timeout', '50ms', true)"

# All workers lock mailboxes in the same order, skipping those that another worker holds; then the counter.
_HOLD: Final = """
    SELECT m.mailbox FROM mailboxes m JOIN unnest({0}::smallint[], {1}::text[]) AS v (mailbox, position)
        ON m.mailbox = v.mailbox AND m.position = v.position
    ORDER BY m.mailbox FOR UPDATE OF m SKIP LOCKED
"""
_HOLD_AND_GIVE_WAY: Final = _HOLD.replace("FROM mailboxes m", "FROM gives_way, mailboxes m")
_TAKE: Final = taking("last_seq = {5} AND (SELECT count(*) FROM held) = {6}")


def places(
    count: int,
    at: datetime,
    numbers: Sequence[int],
    seq: int,
    held: Mapping[int, str],
    mailboxes: Iterable[int],
    *,
    changes: bool,
) -> list[Part]:
    """The parts of a statement that take places for `count` events after `seq`, and `numbers` numbers of each of
    SERIES; nothing is taken if the log or one of the mailboxes has moved on. If the batch `changes` rows that another
    one may hold, the statement gives way after a short wait."""
    ours = list(mailboxes)
    holding = (ours, [held[mailbox] for mailbox in ours])
    taking_them = Part("places", _TAKE, (count, at, *numbers, seq, len(ours)))
    if changes:
        return [Part("gives_way", _GIVE_WAY, ()), Part("held", _HOLD_AND_GIVE_WAY, holding), taking_them]
    return [Part("held", _HOLD, holding), taking_them]
