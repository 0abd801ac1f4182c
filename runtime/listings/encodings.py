"""The character encodings that spreadsheets and shop systems write: named, detected, and converted to UTF-8.

Everything after this module reads UTF-8. Detection can be wrong, so an import shows the encoding that was used, and a
request may name another.
"""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Final

from runtime.listings.columns import ROW_MAX_BYTES

UTF_8: Final = "utf-8"
_UTF_16: Final = "utf-16"
_UTF_16_LE: Final = "utf-16le"
_UTF_16_BE: Final = "utf-16be"
_WESTERN: Final = "windows-1252"
_SINGLE_BYTE: Final = (_WESTERN, "windows-1250", "windows-1251", "macintosh")

# Labels of the WHATWG Encoding Standard, which reads ISO 8859-1 as Windows-1252, as is nearly always meant.
_OF_LABEL: Final = {
    **dict.fromkeys(("utf-8", "utf8", "us-ascii", "ascii"), UTF_8),
    **dict.fromkeys(("utf-16", "utf16", "ucs-2"), _UTF_16),
    **dict.fromkeys(("utf-16le", "utf-16-le"), _UTF_16_LE),
    **dict.fromkeys(("utf-16be", "utf-16-be"), _UTF_16_BE),
    **dict.fromkeys(("windows-1252", "cp1252", "iso-8859-1", "latin1"), _WESTERN),
    **dict.fromkeys(("windows-1250", "cp1250"), "windows-1250"),
    **dict.fromkeys(("windows-1251", "cp1251"), "windows-1251"),
    **dict.fromkeys(("macintosh", "mac", "x-mac-roman", "mac-roman", "macroman"), "macintosh"),
}
ENCODINGS: Final = (UTF_8, _UTF_16, _UTF_16_LE, _UTF_16_BE, *_SINGLE_BYTE)
"""The encodings that can be named; the byte order of `utf-16` is taken from its byte order mark."""

# chardet's names of the encodings that it chooses among.
_CHARDET_NAMES: Final = {
    "Windows-1252": _WESTERN,
    "Windows-1250": "windows-1250",
    "Windows-1251": "windows-1251",
    "MacRoman": "macintosh",
}
# chardet's models are weak on a word or two. A near tie goes to Western, and an encoding in which every non-ASCII
# letter makes nonsense (see `_nonsense`) keeps only this share of its likelihood.
_WESTERN_BONUS: Final = 1.1
_NONSENSE_WEIGHT: Final = 0.05

_EVIDENCE_MAX_BYTES: Final = 16_384
# ASCII in UTF-16 has a zero in every other byte.
_ZEROS_LOOKED_AT_BYTES: Final = 4_096
_ZEROS_SHARE: Final = 0.4


def encoding_of_label(label: str) -> str | None:
    """The encoding that a label (a charset) names, or None if it is not supported."""
    return _OF_LABEL.get(label.strip().strip('"').lower())


class Evidence:
    """What a file shows of its encoding, collected piece by piece: how it begins, and its lines with non-ASCII
    bytes."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0
        self._rest = b""
        self._wide: str | None = None
        self._marked = False
        self._begun = False

    @property
    def enough(self) -> bool:
        """Whether more would make no difference."""
        return self._marked or self._wide is not None or self._size >= _EVIDENCE_MAX_BYTES

    def add(self, piece: bytes) -> None:
        """Takes in the next piece of the file."""
        if not self._begun:
            self._begun = True
            self._wide = _wide(piece)
            self._marked = piece.startswith(codecs.BOM_UTF8)
        if self.enough:
            return
        if piece.isascii() and self._rest.isascii():
            self._rest = b""
            return
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._keep(line)
        if len(self._rest) > ROW_MAX_BYTES:  # too long for a row, so it is no evidence
            self._rest = b""

    def encoding(self) -> str:
        """The most likely encoding."""
        if self._wide or self._marked:
            return self._wide or UTF_8
        self._keep(self._rest)
        return _narrow(b"\n".join(self._lines))

    def _keep(self, line: bytes) -> None:
        if not line.isascii() and self._size < _EVIDENCE_MAX_BYTES:
            self._lines.append(line)
            self._size += len(line)


def detected(data: bytes) -> str:
    """The encoding of a file, from its first piece or all of it."""
    evidence = Evidence()
    evidence.add(data)
    return evidence.encoding()


def resolved(encoding: str, first: bytes) -> str:
    """The named encoding with its byte order; `first` is how the file begins."""
    if encoding != _UTF_16:
        return encoding
    return _UTF_16_BE if first.startswith(codecs.BOM_UTF16_BE) else _UTF_16_LE


def _wide(first: bytes) -> str | None:
    """Which UTF-16 the file is in, or None."""
    if first.startswith(codecs.BOM_UTF16_LE):
        return _UTF_16_LE
    if first.startswith(codecs.BOM_UTF16_BE):
        return _UTF_16_BE
    head = first[:_ZEROS_LOOKED_AT_BYTES]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) < _ZEROS_SHARE * len(head) / 2 or not head:
        return None
    return _UTF_16_LE if odd > even else _UTF_16_BE


def _narrow(evidence: bytes) -> str:
    """The encoding of lines with non-ASCII bytes."""
    decoded = evidence.decode(errors="replace")
    broken = decoded.count("\ufffd")
    whole = sum(char > "\x7f" for char in decoded) - broken
    # A few bad bytes in UTF-8 cost only their rows: the file is still UTF-8.
    if broken <= whole:
        return UTF_8
    # Imported late: loading its models is slow, and most files do not need them.
    from chardet import detect_all

    guesses = detect_all(
        evidence[:_EVIDENCE_MAX_BYTES], ignore_threshold=True, include_encodings=_CHARDET_NAMES, compat_names=True
    )
    scores = dict.fromkeys(_SINGLE_BYTE, 0.0)
    for guess in guesses:
        if encoding := _CHARDET_NAMES.get(guess["encoding"] or ""):
            likely = guess["confidence"] * (_WESTERN_BONUS if encoding == _WESTERN else 1)
            scores[encoding] = likely * max(_NONSENSE_WEIGHT, 1 - _nonsense(evidence.decode(encoding, "replace")))
    best = max(scores, key=scores.__getitem__)
    return _WESTERN if evidence.decode(best, "replace") == evidence.decode(_WESTERN, "replace") else best


def _nonsense(text: str) -> float:
    """The share of non-ASCII characters in implausible places: capitals after small letters, and Cyrillic next to Latin
    letters."""
    beyond = sum(char > "\x7f" for char in text)
    odd = sum(
        (left.islower() and right.isupper())
        or (_is_cyrillic(left) and right.isascii() and right.isalpha())
        or (_is_cyrillic(right) and left.isascii() and left.isalpha())
        for left, right in pairwise(text)
        if left > "\x7f" or right > "\x7f"
    )
    return odd / beyond if beyond else 0.0


def _is_cyrillic(char: str) -> bool:
    return "\u0400" <= char <= "\u04ff"


async def as_utf8(pieces: AsyncIterator[bytes], encoding: str) -> AsyncIterator[bytes]:
    """The file in UTF-8. Bytes that are invalid in its encoding become invalid UTF-8, so that their row is reported."""
    if encoding == UTF_8:
        async for piece in pieces:
            yield piece
        return
    errors = _errors(encoding)
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    async for piece in pieces:
        yield decoder.decode(piece).encode(errors=errors)
    if rest := _last(decoder):
        yield rest


def head_as_utf8(first: bytes, encoding: str | None) -> bytes:
    """The first piece of a file in UTF-8; its encoding is detected unless it is given."""
    encoding = resolved(encoding, first) if encoding else detected(first)
    if encoding == UTF_8:
        return first
    errors = _errors(encoding)
    return codecs.getincrementaldecoder(encoding)(errors).decode(first).encode(errors=errors)


def _errors(encoding: str) -> str:
    """The error handler for decoding and encoding, which turns invalid input into invalid UTF-8."""
    return "surrogateescape" if encoding in _SINGLE_BYTE else "surrogatepass"


def _last(decoder: codecs.IncrementalDecoder) -> bytes:
    """What the end of the file adds: half a character left over becomes invalid UTF-8."""
    return b"\xff" if decoder.getstate()[0] else b""
