"""Fields about people: where mail reaches them, what they are called, and what they sign in with."""

import re
import unicodedata
from typing import Final

from domain.fields.characters import check_unicode, one_line, shows_something, stripped
from domain.fields.core import NOT_TEXT, BadValue, Text
from domain.limits import (
    ACCOUNT_NAME_MAX_CHARS,
    EMAIL_MAX_CHARS,
    KEY_NAME_MAX_CHARS,
    PASSWORD_MAX_CHARS,
    PASSWORD_MIN_CHARS,
    PRINCIPAL_MAX_CHARS,
)

# No quoted or commented forms, no address literals, no spaces: what people have, and no header can be broken with.
_EMAIL = re.compile(
    r"(?=.{1,64}@)[a-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[a-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}"
)


def _address(text: str) -> str:
    check_unicode(text)
    text = stripped(text)
    return text.lower() if text.isascii() else text


EMAIL: Final = Text(
    "An e-mail address",
    most=EMAIL_MAX_CHARS,
    spelling=_address,
    fits=lambda text: _EMAIL.fullmatch(text) is not None,
    code="not_email",
    demand="This is no e-mail address.",
    examples=["ada@example.com"],
)
"""In lower case: mail providers tell no cases apart, and people do not remember how they wrote it. Whether it is an
address that somebody reads, only mail can tell."""


def canonical_email(text: str) -> str | None:
    """The address in its one spelling, or None if the text is none."""
    try:
        return EMAIL.parse(text)
    except BadValue:
        return None


_NOTHING_SHOWN: Final = "This has nothing in it that could be shown."

ACCOUNT_NAME: Final = Text(
    "A name",
    most=ACCOUNT_NAME_MAX_CHARS,
    spelling=one_line,
    fits=shows_something,
    code="nothing_shown",
    demand=_NOTHING_SHOWN,
    examples=["Ada Lovelace"],
)
KEY_NAME: Final = Text(
    "A name",
    most=KEY_NAME_MAX_CHARS,
    spelling=one_line,
    fits=shows_something,
    code="nothing_shown",
    demand=_NOTHING_SHOWN,
    examples=["Warehouse scanner"],
)


def _as_it_is(text: str) -> str:
    check_unicode(text)
    return text


PRINCIPAL: Final = Text(
    "A principal",
    most=PRINCIPAL_MAX_CHARS,
    spelling=_as_it_is,
    fits=str.isprintable,
    code="not_printable",
    demand="This holds characters that cannot be printed.",
)
"""Whom a token speaks for, to the letter: nothing is taken off."""

# Ordering the marks of a letter takes time that grows with the square of their number, and no letter is written with
# more characters than four: what is longer than any password is not even looked at.
_SPELLING_MAX_CHARS: Final = 4 * PASSWORD_MAX_CHARS


def normal_password(text: str) -> str | None:
    """The password in its one spelling (NFKC, as RFC 8265 and NIST SP 800-63B have it): keyboards write the same letter
    in several ways. None if it is too short or too long to be anybody's. Whoever checks one asks this; whoever takes
    a new one, PASSWORD."""
    if len(text) > _SPELLING_MAX_CHARS:
        return None
    password = unicodedata.normalize("NFKC", text)
    return password if PASSWORD_MIN_CHARS <= len(password) <= PASSWORD_MAX_CHARS else None


class _Password:
    """A new password. Its spaces are its own; a control character is refused, for no form or prompt can type it."""

    # Its length counts in its one spelling, which is shorter or longer than what was typed.
    schema: Final = {
        "type": "string",
        "format": "password",
        "minLength": PASSWORD_MIN_CHARS,
        "maxLength": PASSWORD_MAX_CHARS,
        "examples": ["correct horse battery staple"],
    }

    def parse(self, given: object) -> str:
        """The password in its one spelling. Raises BadValue."""
        if not isinstance(given, str):
            raise BadValue(*NOT_TEXT)
        check_unicode(given)
        password = normal_password(given)
        if password is None or "\n" in password or "\r" in password:
            bounds = f"{PASSWORD_MIN_CHARS} to {PASSWORD_MAX_CHARS}"
            raise BadValue("password_length", f"A password has {bounds} characters, on one line.")
        return password


PASSWORD: Final = _Password()
