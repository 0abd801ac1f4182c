"""What text may consist of: one Unicode form (NFC), no surrounding white space, nothing that cannot be stored or shown.

Every step is linear in the length of the text. Normalizing a letter with thousands of marks would not be, so that many
are rejected first (UAX #15, section 13: Stream-Safe Text Format).
"""

import re
import unicodedata
from functools import cache
from typing import Final

from domain.fields.core import BadValue

# What typing and copying leave around a text: white space of any script, and zero-width characters.
_EDGES: Final = (
    " \t\r\n\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
)
_BREAKS = re.compile("[\t\r\n\u0085]+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# These change the direction of what follows, even of what others write after the text.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")

_MARKS_MAX: Final = 30
_MARKS_BEGIN: Final = 0x300
_MARKS_END: Final = 0x1F000


@cache
def runs_of_marks() -> re.Pattern[str]:
    """Matches more marks on one letter than any language uses. Built for the first non-ASCII text."""
    marks = "".join(chr(point) for point in range(_MARKS_BEGIN, _MARKS_END) if unicodedata.combining(chr(point)))
    return re.compile(f"[{marks}]{{{_MARKS_MAX + 1},}}")


def stripped(text: str) -> str:
    """The text without surrounding white space."""
    return text.strip(_EDGES)


def check_unicode(text: str) -> None:
    """Raises BadValue for text that cannot be encoded as UTF-8 or that Postgres cannot store."""
    if (found := _CONTROL.search(text)) is not None:
        raise BadValue("control_character", f"This contains the control character U+{ord(found[0]):04X}.")
    if (found := _SURROGATE.search(text)) is not None:
        raise BadValue("not_unicode", f"This contains U+{ord(found[0]):04X}, half of a surrogate pair.")


def one_line(text: str) -> str:
    """The normalized text as one line: line breaks and tabs become spaces. Raises BadValue."""
    if text.isascii() and text.isprintable():
        return text.strip(" ")
    text = lines(text)
    if (found := _TURNING.search(text)) is not None:
        raise BadValue("turns_direction", f"This contains U+{ord(found[0]):04X}, which changes the direction of text.")
    return _BREAKS.sub(" ", text)


def lines(text: str) -> str:
    """The normalized text, with its line breaks unchanged. Raises BadValue."""
    check_unicode(text)
    text = stripped(text)
    if not text.isascii():
        if runs_of_marks().search(text) is not None:
            raise BadValue("too_many_marks", f"A letter may have at most {_MARKS_MAX} combining marks.")
        text = unicodedata.normalize("NFC", text)
    return text


def shows_something(text: str) -> bool:
    """Whether the text has visible characters, rather than only spaces, marks and zero-width characters."""
    return (text.isascii() and not text.isspace() and text != "") or any(
        unicodedata.category(char)[0] in "LNPS" for char in text
    )
