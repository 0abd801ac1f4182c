"""At once: a small batch that is decided without any lock, and written in one statement if nobody has come in between.

Whatever a batch is decided on changes only together with the log: whoever changes it adds an event. So the batch looks
how far the log has come, decides, and takes its places in the log only if it has come no further by then; and if each
mailbox is where it was, since entries that do nothing tell no event. Two round trips do it, where a batch that holds
what it needs takes seven. With one process at work, as while batches are small, hardly anybody ever comes in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from workers.places import taking
from workers.statements import Part

# Mailboxes in one order for everybody, then the counter; whoever is at work on a mailbox is not waited for.
_HOLD: Final = """
    SELECT m.mailbox FROM mailboxes m JOIN unnest({0}::smallint[], {1}::text[]) AS v (mailbox, position)
        ON m.mailbox = v.mailbox AND m.position = v.position
    ORDER BY m.mailbox FOR UPDATE OF m SKIP LOCKED
"""
_TAKE: Final = taking("last_seq = {2} AND (SELECT count(*) FROM held) = {3}")


def places(count: int, at: datetime, seq: int, held: Mapping[int, str], mailboxes: Iterable[int]) -> list[Part]:
    """Takes the places of so many events after `seq`; none if the log or one of the mailboxes has moved on."""
    numbers = list(mailboxes)
    return [
        Part("held", _HOLD, (numbers, [held[mailbox] for mailbox in numbers])),
        Part("places", _TAKE, (count, at, seq, len(numbers))),
    ]
