"""The state of mailboxes in Redis, to be compared with their positions in Postgres."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from runtime.mailboxes.inbox import Remembered, remembered
from runtime.mailboxes.redis_keys import log_key, stream_key
from runtime.redis_client import as_far_as_possible
from runtime.redis_cluster import NodeUnavailable
from runtime.redis_pipeline import Client, Script

_COUNT: Final = Script((Path(__file__).parent / "count.lua").read_text())


class Standing(NamedTuple):
    """A mailbox in Redis: the last id that was assigned (None if there is no stream), how many entries were ever added,
    how many of them come after the given position, and what Redis knows of the log."""

    last_id: str | None
    added: int
    waiting: int
    knows: Remembered | None

    @property
    def before(self) -> int:
        """How many entries were ever added up to that position. If a busy mailbox has advanced since the position was
        read, this is too many, but never too few."""
        return self.added - self.waiting


async def standings(client: Client, positions: Mapping[int, str]) -> dict[int, Standing]:
    """The state of these mailboxes, except for those on an unavailable node of a cluster."""
    pipeline = client.pipeline(transaction=False)
    for mailbox, position in positions.items():
        _COUNT.add(pipeline, [stream_key(mailbox), log_key(mailbox)], [position])
    found = {}
    for mailbox, answer in zip(positions, await as_far_as_possible(pipeline), strict=True):
        if not isinstance(answer, NodeUnavailable):
            last_id, added, waiting, fields = answer
            found[mailbox] = Standing(last_id and last_id.decode(), added, waiting, remembered(fields))
    return found
