"""The columns that products are searched and sorted by, derived from name and description (see `domain/folding.py`).

They are written with a product's row. Postgres indexes the words for full-text search; nothing here or there depends on
the database's locale.
"""

from domain.folding import alike, order_key, words


def searched_by(name: str, description: str) -> dict[str, str]:
    """The columns of `runtime/tables/catalogue.py` by name."""
    return {
        "name_order": order_key(name),
        "name_alike": alike(name),
        "name_words": " ".join(words(name)),
        "description_words": " ".join(words(description)),
    }
