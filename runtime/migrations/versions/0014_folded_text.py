"""Names are found and sorted regardless of case, accents and script: by folded columns, which queries are compared
with.

Existing rows are folded here, one by one, by the same functions as new ones.
"""

import sqlalchemy as sa
from alembic import op

from runtime.searched import searched_by

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ROWS_AT_ONCE = 1_000


def upgrade() -> None:
    op.execute("DROP INDEX products_search, products_name_trigrams, products_by_name")
    op.execute(
        """
        ALTER TABLE products DROP COLUMN search,
            ADD COLUMN name_order text COLLATE "C" NOT NULL DEFAULT '',
            ADD COLUMN name_alike text NOT NULL DEFAULT '',
            ADD COLUMN name_words text NOT NULL DEFAULT '',
            ADD COLUMN description_words text NOT NULL DEFAULT ''
        """
    )
    _fill()
    op.execute(
        """
        ALTER TABLE products ADD COLUMN search tsvector GENERATED ALWAYS AS (
            setweight(to_tsvector('english', name_words), 'A')
            || setweight(to_tsvector('english', description_words), 'D')
        ) STORED
        """
    )
    op.execute("CREATE INDEX products_search ON products USING gin (search) WITH (gin_pending_list_limit = 256)")
    op.execute(
        "CREATE INDEX products_name_trigrams ON products USING gin (name_alike gin_trgm_ops)"
        " WITH (gin_pending_list_limit = 256)"
    )
    op.execute("CREATE INDEX products_by_name ON products (status, name_order, id)")


def _fill() -> None:
    connection = op.get_bind()
    after = None
    while True:
        rows = connection.execute(
            sa.text(
                "SELECT id, name, description FROM products WHERE CAST(:after AS uuid) IS NULL OR id > :after"
                " ORDER BY id LIMIT :limit"
            ),
            {"after": after, "limit": _ROWS_AT_ONCE},
        ).fetchall()
        if not rows:
            return
        connection.execute(
            sa.text(
                "UPDATE products SET name_order = :name_order, name_alike = :name_alike, name_words = :name_words,"
                " description_words = :description_words WHERE id = :id"
            ),
            [{"id": row.id, **searched_by(row.name, row.description)} for row in rows],
        )
        after = rows[-1].id
