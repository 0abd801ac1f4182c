"""Text folded for comparison, so that case, accents and the keyboard that wrote it make no difference.

Names are shown as given, and searched and sorted by their folded form; queries are folded the same way. So neither
depends on the database's locale. Scripts without spaces (Han, kana, Thai, ...) are split into overlapping pairs of
letters, which find every part of a name of two letters or more.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

from domain.fields.characters import runs_of_marks

# Letters that people type without a part that Unicode does not decompose, or as another letter of their script.
_PLAIN: Final = {
    "ø": "o",
    "ł": "l",
    "đ": "d",
    "ð": "d",
    "ħ": "h",
    "\u0131": "i",
    "ŧ": "t",
    "þ": "th",
    "æ": "ae",
    "œ": "oe",
    "ŋ": "n",
    "\u0649": "\u064a",
    "\u06cc": "\u064a",
    "\u0629": "\u0647",
    "\u06a9": "\u0643",
    "\u0640": "",
    "\u2019": "'",
    "\u02bc": "'",
    "\u200b": " ",
}
# Canonical combining classes of marks that do not make another letter: accents, Hebrew points, Arabic vowels. The
# others (voiced kana, viramas, Thai tones and vowels) stay.
_OVERLAY: Final = 1
_POINTS: Final = range(10, 37)
_ACCENTS: Final = range(200, 241)

_SPACELESS: Final = (
    ("\u0e00", "\u0eff"),  # Thai, Lao
    ("\u1000", "\u109f"),  # Myanmar
    ("\u1100", "\u11ff"),  # Hangul
    ("\u1780", "\u17ff"),  # Khmer
    ("\u2e80", "\u2fdf"),  # Han and its radicals
    ("\u3005", "\u30ff"),  # kana
    ("\u31f0", "\u31ff"),
    ("\u3400", "\u9fff"),
    ("\uac00", "\ud7ff"),
    ("\uf900", "\ufaff"),
    ("\U0001b000", "\U0001b16f"),
    ("\U00020000", "\U0003ffff"),
)

_ASCII_WORD = re.compile("[a-z0-9]+")
_APOSTROPHE = re.compile("'")

ORDER_KEY_MAX_BYTES: Final = 1_000
"""For each half of a sort key: an index entry holds 2,700 bytes."""


def fold(text: str) -> str:
    """The normalized text without case and accents, but with its punctuation. Takes linear time."""
    if text.isascii():
        return text.lower()
    spelt = unicodedata.normalize("NFKD", runs_of_marks().sub("", text).casefold()).casefold()
    return unicodedata.normalize("NFC", "".join(map(_folded, spelt)))


def words(text: str) -> list[str]:
    """The words that the text is found by, in order. In scripts without spaces these are the pairs of letters, and
    after each run its last letter."""
    found: list[str] = []
    for piece in pieces(text):
        if isinstance(piece, str):
            found.append(piece)
        else:
            found += [*("".join(pair) for pair in pairwise(piece)), piece[-1]]
    return found


def pieces(text: str) -> Iterator[str | list[str]]:
    """The folded words of the text; a run of a script without spaces is a list of its letters with their marks."""
    plain = _APOSTROPHE.sub("", fold(text))
    if plain.isascii():
        yield from _ASCII_WORD.findall(plain)
        return
    word, run = "", []  # type: str, list[str]
    for char in plain:
        kind = _kind(char)
        if kind == _MARK:
            if run:
                run[-1] += char
            elif word:
                word += char
            continue
        if kind != _WORD and word:
            yield word
            word = ""
        if kind != _SIGN and run:
            yield run
            run = []
        if kind == _WORD:
            word += char
        elif kind == _SIGN:
            run.append(char)
    if word:
        yield word
    if run:
        yield run


def order_key(text: str) -> str:
    """The text's sort key, compared by code point: the folded text, then the text as written to break ties."""
    return f"{_cut(fold(text))}\t{_cut(text)}"


def alike(text: str) -> str:
    """The words for similarity search. In the C locale `pg_trgm` ignores non-ASCII letters, so each is mapped to one of
    36 characters, enough for an alphabet. Scripts without spaces are left out."""
    return " ".join("".join(map(_sign, piece)) for piece in pieces(text) if isinstance(piece, str))


_SIGNS: Final = "abcdefghijklmnopqrstuvwxyz0123456789"
_MARK, _WORD, _SIGN, _OTHER = "mark", "word", "sign", "other"


@lru_cache(maxsize=65_536)
def _folded(char: str) -> str:
    mark = unicodedata.combining(char)
    if mark == _OVERLAY or mark in _POINTS or mark in _ACCENTS:
        return ""
    if char in _PLAIN:
        return _PLAIN[char]
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    return "" if category == "Cf" else char


@lru_cache(maxsize=65_536)
def _kind(char: str) -> str:
    category = unicodedata.category(char)[0]
    if category == "M":
        return _MARK
    if category not in "LN":
        return _OTHER
    return _SIGN if any(first <= char <= last for first, last in _SPACELESS) else _WORD


def _sign(char: str) -> str:
    return char if char.isascii() else _SIGNS[ord(char) % len(_SIGNS)]


def _cut(text: str) -> str:
    return text if len(text) * 4 <= ORDER_KEY_MAX_BYTES else text.encode()[:ORDER_KEY_MAX_BYTES].decode(errors="ignore")
