"""Secrets and personal data leave the log and the records of commands; rows say what was made in development.

What they already held is blanked here, for good: names, addresses and hashes live in the rows of accounts, keys,
webhooks and orders only. Accounts that the demo made are marked as made in development.
"""

from typing import Any, Final

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Where each type of command holds what is private: places in its array, the first of which is its name.
_PRIVATE: Final = {
    "CreateAccount": (2, 3, 5),
    "ChangeAccount": (2,),
    "ChangePassword": (3,),
    "CreateApiKey": (5,),
    "RegisterWebhook": (3,),
    "RotateWebhookSecret": (2,),
    "PlaceOrder": (4,),
}
_COMMAND: Final = 4
_ROWS_AT_ONCE: Final = 1_000


def upgrade() -> None:
    for table in ("accounts", "sessions", "api_keys", "webhooks"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN development boolean NOT NULL DEFAULT false")
    op.execute("ALTER TABLE sessions ADD COLUMN refreshed_at timestamptz")
    op.execute(
        "ALTER TABLE dead_letters ADD COLUMN lost text[] NOT NULL DEFAULT '{}',"
        " ADD COLUMN understood boolean NOT NULL DEFAULT true"
    )
    _mark_the_demo()
    _blank_the_records()
    _blank_the_dead_letters()
    _blank_the_log()


def _mark_the_demo() -> None:
    op.execute(
        """
        UPDATE accounts a SET development = true FROM events e
        WHERE e.type = 'account.created' AND e.actor = 'demo' AND e.subject = a.id::text
        """
    )
    op.execute(
        """
        UPDATE events SET data = (data::jsonb || '{"development": true}')::json
        WHERE type = 'account.created' AND actor = 'demo'
        """
    )


def _blank_the_log() -> None:
    """The members stay where they are, and are null."""
    op.execute(
        """
        UPDATE events SET data = (
            SELECT json_object_agg(key, CASE WHEN key IN ('email', 'name') THEN 'null'::json ELSE value END)
            FROM json_each(data)
        )
        WHERE type IN ('account.created', 'account.changed')
            OR (type = 'order.placed' AND data->>'email' IS NOT NULL)
        """
    )


def _blank_the_records() -> None:
    connection = op.get_bind()
    # An order holds something only if a guest placed it: its request has an address in it.
    found = connection.execute(
        sa.text(
            "SELECT id, request FROM commands WHERE type = ANY(:types) AND type <> 'PlaceOrder'"
            " OR type = 'PlaceOrder' AND position('@'::bytea IN request) > 0"
        ),
        {"types": list(_PRIVATE)},
    )
    while rows := found.fetchmany(_ROWS_AT_ONCE):
        changed = [{"id": row.id, "request": _blanked(bytes(row.request))[0]} for row in rows]
        connection.execute(sa.text("UPDATE commands SET request = :request WHERE id = :id"), changed)
    # What nobody could read says nothing to an audit, and may hold anything.
    connection.execute(sa.text("UPDATE commands SET request = '' WHERE type = 'unreadable'"))


def _blank_the_dead_letters() -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.text("SELECT mailbox, entry_id, code, entry FROM dead_letters")).fetchall():
        fields = msgspec.msgpack.decode(bytes(row.entry), type=dict[bytes, bytes])
        envelope, lost = _blanked(fields.get(b"e", b""))
        connection.execute(
            sa.text(
                "UPDATE dead_letters SET entry = :entry, lost = :lost, understood = :understood"
                " WHERE mailbox = :mailbox AND entry_id = :entry_id"
            ),
            {
                "mailbox": row.mailbox,
                "entry_id": row.entry_id,
                "entry": msgspec.msgpack.encode({**fields, b"e": envelope} if lost else fields),
                "lost": [f"field {place}" for place in lost],
                "understood": bool(lost) or not row.code.startswith("un"),
            },
        )


def _blanked(request: bytes) -> tuple[bytes, list[int]]:
    """The envelope without what is private, and the places that were blanked. What cannot be read stays as it is."""
    try:
        envelope: Any = msgspec.msgpack.decode(request)
        command = envelope[_COMMAND]
        places = [
            place
            for place in range(1, len(command))
            if place in _PRIVATE.get(command[0], ()) and command[place] is not None
        ]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, TypeError, LookupError):
        return request, []
    for place in places:
        command[place] = ""
    return (msgspec.msgpack.encode(envelope) if places else request), places
