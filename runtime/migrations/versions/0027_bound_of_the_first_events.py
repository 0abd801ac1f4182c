"""The events that there are will be the first partition of the log: nothing from its bound on may be written into that
table. This is checked for new rows first; those that are there follow, while others write (0028).

The bound leaves a shop five million events at least to come to 0029.
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
