"""Text as it is compared: in one form, whatever its case, its accents, and the keyboard that wrote it.

Names are shown as they were given, and found and sorted by what is made of them here, on both sides alike; so neither
depends on the locale that a database happens to have. Scripts without spaces (Han, kana, Thai, ...) are cut into pairs
of letters that overlap, which finds every part of a name that is two letters or longer.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Final

from domain.fields.characters import runs_of_marks

# Letters that people type without what Unicode takes for a part of the letter, or in another way of their script.
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
# Canonical combining classes of marks that are no letter of their own: accents, points of Hebrew, vowels of Arabic. The
# others (voiced kana, viramas, tones and vowels of Thai) stay.
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
"""Of either half of a key to sort by: an entry of an index holds 2,700 bytes."""


def fold(text: str) -> str:
    """The text without case and accents, in one form; its punctuation stays. In time linear in its length."""
    if text.isascii():
        return text.lower()
    spelt = unicodedata.normalize("NFKD", runs_of_marks().sub("", text).casefold()).casefold()
    return unicodedata.normalize("NFC", "".join(map(_folded, spelt)))


def words(text: str) -> list[str]:
    """The words that the text is found by, in their order: of scripts without spaces the pairs of letters, and behind
    each run of them its last letter."""
    found: list[str] = []
    for piece in pieces(text):
        if isinstance(piece, str):
            found.append(piece)
        else:
            found += [*("".join(pair) for pair in pairwise(piece)), piece[-1]]
    return found


def pieces(text: str) -> Iterator[str | list[str]]:
    """The words of the text, folded; a run of a script without spaces is the list of its letters, with their marks."""
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
    """What the text is sorted by, code point by code point: folded; what then is the same, as it is written."""
    return f"{_cut(fold(text))}\t{_cut(text)}"


def alike(text: str) -> str:
    """The words that are compared for likeness, letter by letter. In the locale C `pg_trgm` knows no letter beyond
    ASCII, so each of those is written as one of 36 signs: alphabets fit. Scripts of pairs are left out."""
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
