"""A search as a `tsquery`: words folded like the catalogue's; quotes, `or` and `-` as in web search. The query's text
is made here, word by word, because Postgres's own parser does not handle scripts without spaces, and splits words
differently from the catalogue.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from domain.folding import pieces

_PART = re.compile(r'(-*)(?:"([^"]*)"?|(\S+))')
_OR: Final = "or"
_FOLLOWED_BY: Final = " <-> "


def tsquery(searched: str) -> str:
    """The search in the syntax of `to_tsquery`; empty if there is no word in it."""
    either: list[list[str]] = [[]]
    for part in _PART.finditer(searched):
        minus, quoted, bare = part.groups()
        if not minus and bare is not None and bare.lower() == _OR:
            either.append([])
            continue
        if phrase := _FOLLOWED_BY.join(_lexemes(bare if quoted is None else quoted)):
            either[-1].append(f"!({phrase})" if minus else f"({phrase})")
    return " | ".join(" & ".join(every) for every in either if every)


def _lexemes(text: str) -> Iterator[str]:
    """The words, each in quotes; they hold letters, marks and digits only. A single letter of a script indexed in pairs
    matches as the beginning of a pair or the end of a run."""
    for piece in pieces(text):
        if isinstance(piece, str):
            yield f"'{piece}'"
        elif len(piece) == 1:
            yield f"'{piece[0]}':*"
        else:
            yield from (f"'{''.join(pair)}'" for pair in pairwise(piece))
