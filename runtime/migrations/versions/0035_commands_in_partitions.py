"""The records of commands in partitions by id, and so by time. The existing table becomes the first one as it is. Its
index of keys stays for workers of the previous release, unless it is empty."""

import re

from alembic import op
from sqlalchemy import text

from runtime.partitions import emptied_by_hand

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    op.execute("LOCK TABLE commands, commands_default IN ACCESS EXCLUSIVE MODE")
    within = connection.scalar(
        text("SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE conname = 'commands_first_range'")
    )
    (until,) = re.findall(r"'([0-9a-f-]{36})'", within)
    for trigger in ("commands_written_by_hand", "commands_emptied_by_hand", "keys_of_older_workers"):
        op.execute(f"DROP TRIGGER {trigger} ON commands")
    op.execute("ALTER TABLE commands RENAME TO commands_first")
    op.execute("ALTER INDEX commands_pkey RENAME TO commands_first_pkey")
    op.execute("ALTER INDEX commands_idempotency_key RENAME TO commands_first_idempotency_key")
    if not connection.scalar(text("SELECT EXISTS (SELECT FROM commands_first)")):
        op.execute("DROP INDEX commands_first_idempotency_key")
    op.execute("CREATE TABLE commands (LIKE commands_first INCLUDING DEFAULTS) PARTITION BY RANGE (id)")
    op.execute("ALTER TABLE commands ADD CONSTRAINT commands_pkey PRIMARY KEY (id)")
    op.execute(
        """
        CREATE TRIGGER commands_written_by_hand AFTER INSERT OR UPDATE OR DELETE ON commands FOR EACH ROW
        WHEN (current_setting('application_name') NOT LIKE '%-batch') EXECUTE FUNCTION note_suspect('id', 'commands')
        """
    )
    op.execute(
        """
        CREATE TRIGGER keys_of_older_workers AFTER INSERT ON commands FOR EACH ROW
        WHEN (NEW.idempotency_key IS NOT NULL AND NEW.fingerprint IS NOT NULL) EXECUTE FUNCTION keep_key()
        """
    )
    op.execute(f"ALTER TABLE commands ATTACH PARTITION commands_first FOR VALUES FROM (MINVALUE) TO ('{until}')")
    op.execute("ALTER TABLE commands_first DROP CONSTRAINT commands_first_range")
    op.execute("ALTER TABLE commands ATTACH PARTITION commands_default DEFAULT")
    for table in ("commands_first", "commands_default"):
        for statement in emptied_by_hand(table, "commands", "id"):
            op.execute(statement)
    op.execute(
        "ALTER TABLE log_start ADD COLUMN commands_since uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'"
    )
