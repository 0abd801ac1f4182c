"""Slugs: the part of a URL that names a product or a category, made from its name."""

import re
import unicodedata
from typing import Final

from domain.folding import fold
from domain.limits import SLUG_MAX_CHARS

_BETWEEN: Final = re.compile(r"[^a-z0-9]+")
_APOSTROPHES: Final = re.compile(r"['\u2019]")


def slug_from(name: str) -> str:
    """The name in lower-case letters and digits, without accents, its words joined by hyphens; empty if nothing of it
    is left."""
    folded = _APOSTROPHES.sub("", fold(name))
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    return _BETWEEN.sub("-", plain).strip("-")[:SLUG_MAX_CHARS].rstrip("-")
