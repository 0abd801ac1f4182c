"""The sandbox's memory, in one SQLite file: payments, movements, the keys it has seen, and webhooks to be sent.

A request changes it at once, and is answered when the change is on disk. All requests that arrive meanwhile share the
next commit, so the disk does not limit their number.
"""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payments (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    reference TEXT NOT NULL UNIQUE,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    currency TEXT NOT NULL,
    capture TEXT NOT NULL,
    return_url TEXT,
    moods TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    created_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS movements (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    reference TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    amount_minor INTEGER NOT NULL CHECK (amount_minor >= 0),
    at TEXT NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS movements_of_payment ON movements (payment_id);
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY,
    asked INTEGER NOT NULL,
    request TEXT,
    payment_id TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notices (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    is_forged INTEGER NOT NULL,
    due_at REAL NOT NULL,
    attempts INTEGER NOT NULL
);
"""


class Paid(NamedTuple):
    """A row of `payments`."""

    number: int
    id: str
    reference: str
    amount_minor: int
    currency: str
    capture: str
    return_url: str | None
    moods: str
    is_open: int
    created_at: str


class Moved(NamedTuple):
    """A row of `movements`."""

    number: int
    id: str
    payment_id: str
    reference: str
    kind: str
    status: str
    amount_minor: int
    at: str
    code: str
    message: str


class Done(NamedTuple):
    """What was requested under a key, and for which payment."""

    request: str
    payment_id: str


class Ledger:
    """The file. Must be used by a single event loop."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._commit: asyncio.Future[None] | None = None
        last = self._database.execute("SELECT max(at) FROM movements").fetchone()[0]
        self._last = datetime.fromisoformat(last) if last else datetime.min.replace(tzinfo=UTC)

    def close(self) -> None:
        """Commits what is left."""
        self._end()
        self._database.close()

    def now(self) -> datetime:
        """The time, strictly increasing, so that the order of moments is that of events."""
        self._last = max(datetime.now(UTC), self._last + timedelta(microseconds=1))
        return self._last

    def write(self, statement: str, *values: Any) -> None:
        """Executes a change; await `durable` for it to be on disk."""
        if self._commit is None:
            loop = asyncio.get_running_loop()
            self._commit = loop.create_future()
            self._database.execute("BEGIN")
            loop.call_soon(self._end)
        self._database.execute(statement, values)

    async def durable(self) -> None:
        """Returns once everything written so far is on disk."""
        if self._commit is not None:
            await asyncio.shield(self._commit)

    def rows(self, statement: str, *values: Any) -> list[Any]:
        """The current rows, including changes that are not on disk yet."""
        return self._database.execute(statement, values).fetchall()

    def payment(self, column: str, value: str) -> Paid | None:
        """The payment with this id or reference."""
        assert column in ("id", "reference")
        found = self.rows(f"SELECT * FROM payments WHERE {column} = ?", value)  # noqa: S608 - one of two names
        return Paid(*found[0]) if found else None

    def movements(self, payment_id: str) -> list[Moved]:
        """What happened to a payment, oldest first."""
        return [
            Moved(*row) for row in self.rows("SELECT * FROM movements WHERE payment_id = ? ORDER BY number", payment_id)
        ]

    def asked(self, key: str) -> bool:
        """Whether this key was used before; notes that it is used now."""
        self.write("INSERT INTO keys (key, asked) VALUES (?, 1) ON CONFLICT DO UPDATE SET asked = asked + 1", key)
        ((times,),) = self.rows("SELECT asked FROM keys WHERE key = ?", key)
        return bool(times > 1)

    def done(self, key: str) -> Done | None:
        """What was done under this key."""
        found = self.rows("SELECT request, payment_id FROM keys WHERE key = ? AND request IS NOT NULL", key)
        return Done(*found[0]) if found else None

    def remember(self, key: str, request: str, payment_id: str) -> None:
        """Notes what was done under the key."""
        self.write("UPDATE keys SET request = ?, payment_id = ? WHERE key = ?", request, payment_id, key)

    def _end(self) -> None:
        if (ended := self._commit) is None:
            return
        self._commit = None
        try:
            self._database.execute("COMMIT")
        except sqlite3.Error as error:
            ended.set_exception(error)
            raise
        ended.set_result(None)


def stored(at: datetime) -> str:
    """A moment in the file's format: text that sorts by time."""
    return at.isoformat(timespec="microseconds")
