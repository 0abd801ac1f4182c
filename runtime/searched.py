"""What a product is found and sorted by: columns that follow from its name and description (see `domain/folding.py`).

Whoever writes a product's row writes these with it. Postgres makes the full-text index of the words; nothing here or
there depends on the locale of the database.
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
