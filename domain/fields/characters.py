"""What text is made of: one Unicode form (NFC), no white space around it, nothing that cannot be kept or shown.

Every step is linear in the text's length. Normalizing is not, for a letter under thousands of marks, so that many are
refused first (UAX #15, 13: Stream-Safe Text Format).
"""

import re
import unicodedata
from functools import cache
from typing import Final

from domain.fields.core import BadValue

# What keyboards and copying leave around a text: white space of any script, and what has no width at all.
_EDGES: Final = (
    " \t\r\n\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
)
_BREAKS = re.compile("[\t\r\n\u0085]+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# They turn the direction of what follows, also of what others write behind the text.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")

_MARKS_MAX: Final = 30
_MARKS_BEGIN: Final = 0x300
_MARKS_END: Final = 0x1F000


@cache
def runs_of_marks() -> re.Pattern[str]:
    """More marks on one letter than any language writes. Made when the first text beyond ASCII comes."""
    marks = "".join(chr(point) for point in range(_MARKS_BEGIN, _MARKS_END) if unicodedata.combining(chr(point)))
    return re.compile(f"[{marks}]{{{_MARKS_MAX + 1},}}")


def stripped(text: str) -> str:
    """The text without what stands around it."""
    return text.strip(_EDGES)


def check_unicode(text: str) -> None:
    """Raises BadValue for text that cannot be sent or kept as UTF-8, or that Postgres has no room for."""
    if (found := _CONTROL.search(text)) is not None:
        raise BadValue("control_character", f"This holds the control character U+{ord(found[0]):04X}.")
    if (found := _SURROGATE.search(text)) is not None:
        raise BadValue("not_unicode", f"This holds U+{ord(found[0]):04X}, half of a pair, which is no character.")


def one_line(text: str) -> str:
    """The text as one line in its one spelling: line breaks and tabs are spaces. Raises BadValue."""
    if text.isascii() and text.isprintable():
        return text.strip(" ")
    text = lines(text)
    if (found := _TURNING.search(text)) is not None:
        raise BadValue("turns_direction", f"This holds U+{ord(found[0]):04X}, which turns the direction of text.")
    return _BREAKS.sub(" ", text)


def lines(text: str) -> str:
    """The text in its one spelling, its line breaks as they are. Raises BadValue."""
    check_unicode(text)
    text = stripped(text)
    if not text.isascii():
        if runs_of_marks().search(text) is not None:
            raise BadValue("too_many_marks", f"A letter carries at most {_MARKS_MAX} marks.")
        text = unicodedata.normalize("NFC", text)
    return text


def shows_something(text: str) -> bool:
    """Whether there is something to be seen: not only spaces, marks without letters, and what has no shape."""
    return (text.isascii() and not text.isspace() and text != "") or any(
        unicodedata.category(char)[0] in "LNPS" for char in text
    )
