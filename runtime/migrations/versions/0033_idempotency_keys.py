"""Idempotency keys get a table of their own: with partitions, a unique index of `commands` would cover only one each.
Workers of the previous release do not know the table, so a trigger fills it for them; it recognises their rows by the
fingerprint, which only they write into `commands`.

The existing commands become the first partition, like the events (0027 to 0029).
"""

from alembic import op

from runtime.partitions import first_id

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_DAY_MS = 86_400_000
_DAYS = 8


def upgrade() -> None:
    connection = op.get_bind()
    op.execute(
        """
        CREATE TABLE idempotency_keys (
            principal text NOT NULL,
            key text NOT NULL,
            command_id uuid NOT NULL,
            fingerprint bytea,
            PRIMARY KEY (principal, key)
        )
        """
    )
    op.execute(
        """
        CREATE FUNCTION keep_key() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
        BEGIN
            INSERT INTO idempotency_keys VALUES (NEW.principal, NEW.idempotency_key, NEW.id, NEW.fingerprint);
            RETURN NULL;
        END $$
        """
    )
    op.execute("LOCK TABLE commands IN ACCESS EXCLUSIVE MODE")
    op.execute(
        """
        CREATE TRIGGER keys_of_older_workers AFTER INSERT ON commands FOR EACH ROW
        WHEN (NEW.idempotency_key IS NOT NULL AND NEW.fingerprint IS NOT NULL) EXECUTE FUNCTION keep_key()
        """
    )
    now_ms = connection.exec_driver_sql("SELECT (extract(epoch FROM now()) * 1000)::bigint").scalar_one()
    until = first_id((now_ms // _DAY_MS + _DAYS) * _DAY_MS)
    op.execute(f"ALTER TABLE commands ADD CONSTRAINT commands_first_range CHECK (id < '{until}') NOT VALID")
