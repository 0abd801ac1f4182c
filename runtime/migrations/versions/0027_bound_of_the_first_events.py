"""The existing events become the first partition of the log: no event at or above its bound may be written to that
table. The constraint applies to new rows first; existing ones are validated while writes go on (0028).

The bound leaves room for at least five million further events before 0029 must run.
"""

from alembic import op
from sqlalchemy import text

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_EVENTS = 5_000_000


def upgrade() -> None:
    connection = op.get_bind()
    last_seq = connection.scalar(text("SELECT last_seq FROM event_counter"))
    until = (last_seq // _EVENTS + 2) * _EVENTS
    op.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
    op.execute(f"ALTER TABLE events ADD CONSTRAINT events_first_range CHECK (seq < {until}) NOT VALID")
