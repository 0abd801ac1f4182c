"""The log in partitions by seq. The existing table becomes the first one as it is: its rows are not read. A
default partition takes what fits no other. The log's first seq is stored, for when old partitions are archived."""

import re

from alembic import op
from sqlalchemy import text

from runtime.partitions import emptied_by_hand

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

_INDEXES = (
    "CREATE INDEX events_after_placing ON events (subject, seq) WHERE type LIKE 'order.%' AND type <> 'order.placed'",
    "CREATE INDEX events_of_accounts ON events (subject, seq) WHERE type LIKE 'account.%'",
    "CREATE INDEX events_of_sessions ON events ((data->>'account_id'), seq) WHERE type LIKE 'session.%'",
    "CREATE INDEX events_of_commands ON events (actor, seq) WHERE type LIKE 'command.%'",
    "CREATE INDEX events_of_catalogue ON events (seq) WHERE (type LIKE 'product.%' OR type LIKE 'category.%')",
    "CREATE INDEX events_occurred_at ON events USING brin (occurred_at)",
)

# As in 0025, but a partition's rows are noted as those of its table: the trigger names it.
_FUNCTIONS = """
CREATE OR REPLACE FUNCTION note_suspect() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    noted text := coalesce(TG_ARGV[1], TG_TABLE_NAME);
    before jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    IF before IS NOT NULL THEN
        INSERT INTO suspects (table_name, key, seq) VALUES (noted, before->>TG_ARGV[0], (before->>'seq')::bigint);
    END IF;
    IF after IS NOT NULL AND after->>TG_ARGV[0] IS DISTINCT FROM before->>TG_ARGV[0] THEN
        INSERT INTO suspects (table_name, key, seq) VALUES (noted, after->>TG_ARGV[0], (after->>'seq')::bigint);
    END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION note_some_suspects() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO suspects (table_name, key, seq)'
        ' SELECT %L, to_jsonb(t)->>%L, (to_jsonb(t)->>''seq'')::bigint FROM %I.%I t LIMIT 20',
        coalesce(TG_ARGV[1], TG_TABLE_NAME), TG_ARGV[0], TG_TABLE_SCHEMA, TG_TABLE_NAME
    );
    RETURN NULL;
END $$;
"""


def upgrade() -> None:
    connection = op.get_bind()
    op.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    for function in _FUNCTIONS.strip().split("\n\n"):
        op.execute(function)
    check = connection.scalar(
        text("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'events_first_range'")
    )
    until = re.findall(r"\d+", check)[-1]
    op.execute("DROP TRIGGER events_written_by_hand ON events")
    op.execute("DROP TRIGGER events_emptied_by_hand ON events")
    op.execute("ALTER TABLE events RENAME TO events_first")
    for (index,) in connection.execute(
        text("SELECT indexname FROM pg_indexes WHERE tablename = 'events_first' AND schemaname = current_schema()")
    ).all():
        op.execute(f"ALTER INDEX {index} RENAME TO {index.replace('events_', 'events_first_', 1)}")
    op.execute("CREATE TABLE events (LIKE events_first INCLUDING DEFAULTS) PARTITION BY RANGE (seq)")
    op.execute("ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY (seq)")
    for index in _INDEXES:
        op.execute(index)
    op.execute(
        """
        CREATE TRIGGER events_written_by_hand AFTER UPDATE OR DELETE ON events FOR EACH ROW
        WHEN (current_setting('application_name') NOT LIKE '%-batch') EXECUTE FUNCTION note_suspect('seq', 'events')
        """
    )
    op.execute(f"ALTER TABLE events ATTACH PARTITION events_first FOR VALUES FROM (MINVALUE) TO ({until})")
    op.execute("ALTER TABLE events_first DROP CONSTRAINT events_first_range")
    op.execute("CREATE TABLE events_default PARTITION OF events DEFAULT")
    for table in ("events_first", "events_default"):
        for statement in emptied_by_hand(table, "events", "seq"):
            op.execute(statement)
    op.execute(
        """
        CREATE TABLE log_start (
            only_row smallint PRIMARY KEY CONSTRAINT log_start_one_row CHECK (only_row = 1),
            first_seq bigint NOT NULL DEFAULT 1
        )
        """
    )
    op.execute("INSERT INTO log_start (only_row) VALUES (1)")
