"""Categories by path, as other shops write them (`Kitchen > Aprons`): found by name, ignoring capitals and Unicode
composition, and planned where they are missing."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Iterator
from uuid import UUID

from domain.categories import Category, CategoryFields, CreateCategory, categories_slot
from domain.ids import milliseconds_of, new_id
from domain.limits import SLUG_MAX_CHARS
from domain.slugs import slug_from

Path = tuple[str, ...]

SHOWN_BETWEEN = " > "

_DIGEST_BYTES = 8
_SLUG_DIGEST_CHARS = 8


def shown(path: Path) -> str:
    """The path for people to read."""
    return SHOWN_BETWEEN.join(path)


class CategoryTree:
    """The shop's categories by path, and those that an import adds."""

    def __init__(self, categories: Iterable[Category]) -> None:
        self.categories: dict[UUID, Category] = {}
        self._by_place: dict[tuple[UUID | None, str], UUID] = {}
        self._slugs: set[str] = set()
        for category in sorted(categories, key=lambda category: (category.position, category.id)):
            self.add(category)

    def add(self, category: Category) -> None:
        """Adds a category; of two with the same name in the same place, the first counts."""
        self.categories[category.id] = category
        self._slugs.add(category.slug)
        self._by_place.setdefault((category.parent_id, _folded(category.name)), category.id)

    def find(self, path: Path) -> UUID | None:
        """The category at the end of a path."""
        found: UUID | None = None
        for name in path:
            found = self._by_place.get((found, _folded(name)))
            if found is None:
                return None
        return found

    def missing(self, path: Path, job_id: UUID) -> Iterator[CreateCategory]:
        """The commands that create the categories missing from a path, from the top; each must be added before the next
        is asked for. Their ids follow from the job and the path, so they are the same however often this is planned."""
        for length in range(1, len(path) + 1):
            above = path[:length]
            if self.find(above) is None:
                digest = hashlib.blake2b(job_id.bytes + _key(above), digest_size=_DIGEST_BYTES)
                category_id = new_id(milliseconds_of(job_id), categories_slot(), int.from_bytes(digest.digest()))
                fields = CategoryFields(self._slug(above, digest.hexdigest()), above[-1], self.find(above[:-1]))
                yield CreateCategory(category_id, fields)

    def _slug(self, path: Path, digest: str) -> str:
        """A slug that no other category has."""
        for slug in (slug_from(path[-1]), slug_from(" ".join(path))):
            if slug and slug not in self._slugs:
                return slug
        written = slug_from(path[-1])[: SLUG_MAX_CHARS - _SLUG_DIGEST_CHARS - 1].rstrip("-")
        return f"{written or 'c'}-{digest[:_SLUG_DIGEST_CHARS]}"


def created(command: CreateCategory) -> Category:
    """The category, once it exists."""
    said = command.category
    return Category(command.category_id, said.slug, said.name, said.parent_id, said.position, 1)


def fingerprint(command: CreateCategory) -> bytes:
    """Tells whether a category is requested exactly as before."""
    said = command.category
    return hashlib.blake2b(repr((said.name, said.parent_id)).encode(), digest_size=16).digest()


def _key(path: Path) -> bytes:
    return "\0".join(map(_folded, path)).encode()


def _folded(name: str) -> str:
    """The key of a name: names that differ only in capitals or Unicode composition are the same."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
