"""The outcomes of an import's rows, and how they are recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from domain.catalogue import ListingUnchanged, ProductCreated, VariantAdded
from domain.limits import is_text
from domain.sku_prices import PricesUnchanged
from domain.stock import StockUnchanged
from workers.jobs.kinds import Job

CREATED: Final = "created"
CHANGED: Final = "changed"
UNCHANGED: Final = "unchanged"
REJECTED: Final = "rejected"
LEFT_ASIDE: Final = "left_aside"

# By the first event of a row's command; events about what is new come before those about what changed.
_OUTCOMES: Final = {
    ProductCreated.type: CREATED,
    VariantAdded.type: CREATED,
    ListingUnchanged.type: UNCHANGED,
    StockUnchanged.type: UNCHANGED,
    PricesUnchanged.type: UNCHANGED,
}
_DETAIL_MAX_CHARS: Final = 500
_VALUE_MAX_CHARS: Final = 200


class Change(NamedTuple):
    """What a row changes in the existing state."""

    column: str
    before: Any
    after: Any


class Note(NamedTuple):
    """The outcome of the row that begins on a line; if it was not applied, why, and which column is at fault."""

    line: int
    outcome: str
    code: str = ""
    detail: str = ""
    column: str | None = None
    slug: str | None = None
    sku: str | None = None
    changes: Sequence[Change] = ()

    @property
    def particulars(self) -> str:
        """All but the sentence, as JSON; the file's content may be long, and may not be valid text."""
        said: dict[str, Any] = {name: getattr(self, name) for name in ("column", "slug", "sku") if getattr(self, name)}
        if self.changes:
            said["changes"] = [
                {"column": change.column, "before": _short(change.before), "after": _short(change.after)}
                for change in self.changes
            ]
        return msgspec.json.encode(_texts(said)).decode()


def outcome_of(event_type: str) -> str:
    """The outcome of a row whose command was applied with this first event."""
    return _OUTCOMES.get(event_type, CHANGED)


async def keep(pool: asyncpg.Pool[Any], job: Job, notes: Sequence[Note]) -> None:
    """Stores the notes; a line's existing note stays."""
    await pool.executemany(
        """
        INSERT INTO job_rows (job_id, line, outcome, code, detail, particulars) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
        ON CONFLICT DO NOTHING
        """,
        [
            (job.id, note.line, note.outcome, note.code, _texts(note.detail[:_DETAIL_MAX_CHARS]), note.particulars)
            for note in notes
        ],
    )


async def forget(pool: asyncpg.Pool[Any], job: Job, line: int) -> None:
    """Removes what an interrupted run noted from that line on: those rows are decided again, and the shop may have
    changed."""
    await pool.execute("DELETE FROM job_rows WHERE job_id = $1 AND line >= $2", job.id, line)


def _short(value: Any) -> Any:
    return f"{value[:_VALUE_MAX_CHARS]}\u2026" if isinstance(value, str) and len(value) > _VALUE_MAX_CHARS else value


def _texts(value: Any) -> Any:
    """The value without any characters that Postgres cannot store."""
    if isinstance(value, str):
        return "".join(char if is_text(char) and not "\ud800" <= char <= "\udfff" else "\ufffd" for char in value)
    if isinstance(value, dict):
        return {_texts(name): _texts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_texts(item) for item in value]
    return value
