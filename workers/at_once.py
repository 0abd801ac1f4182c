"""A small batch that is decided without any lock, and written in one statement if nothing has changed in the meantime.

Everything that a batch is decided on changes only together with the log: every change adds an event. So the batch reads
how far the log has come, then what it needs, decides, and takes its places in the log only if the log has come no
further and each mailbox is where it was (entries that do nothing add no event). For new orders that takes two round
trips, where a batch that locks what it needs takes seven. With one process at work, as long as batches are small, there
is hardly ever anything in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from workers.places import taking
from workers.statements import Part

# The rows that it changes are its own mailboxes', but an erasure may hold them, and unique values are everybody's.
# Whoever holds one of them may wait for the counter, which this statement has taken by then: so it gives way soon (see
# `workers/rows.py` for the order of locks).
_GIVE_WAY: Final = "SELECT set_config('lock_timeout', '50ms', true)"

# Mailboxes in the same order for everybody, then the counter; a mailbox that another worker holds is not waited for.
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
    """Takes places for that many events after `seq`, and so many numbers of each of SERIES; none if the log or one of
    the mailboxes has moved on. Where it `changes` more than its orders, the statement gives way to whoever holds
    that."""
    ours = list(mailboxes)
    holding = (ours, [held[mailbox] for mailbox in ours])
    taking_them = Part("places", _TAKE, (count, at, *numbers, seq, len(ours)))
    if changes:
        return [Part("gives_way", _GIVE_WAY, ()), Part("held", _HOLD_AND_GIVE_WAY, holding), taking_them]
    return [Part("held", _HOLD, holding), taking_them]
