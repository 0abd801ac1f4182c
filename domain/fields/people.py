"""Fields about people: their e-mail address, their name, and what they sign in with."""

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
    TAX_ID_MAX_CHARS,
    TAX_ID_MIN_CHARS,
    WORD_MAX_CHARS,
)

# The addresses that people have, and none that could break a header: no quotes, comments, address literals or spaces.
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
    demand="This is not an e-mail address.",
    examples=["ada@example.com"],
)
"""In lower case: mail providers ignore case, and people forget how they wrote it. Only sending a mail can show whether
the address works."""


def canonical_email(text: str) -> str | None:
    """The normalized address, or None if the text is not one."""
    try:
        return EMAIL.parse(text)
    except BadValue:
        return None


_NOTHING_SHOWN: Final = "This has no visible characters."

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


_TAX_ID: Final = re.compile(r"[A-Z0-9]*")
_SEPARATORS: Final = str.maketrans("", "", " .-/")


def _tax_id(text: str) -> str:
    text = one_line(text).translate(_SEPARATORS)
    return text.upper() if text.isascii() else text


TAX_ID: Final = Text(
    "A tax id",
    least=TAX_ID_MIN_CHARS,
    most=TAX_ID_MAX_CHARS,
    spelling=_tax_id,
    fits=lambda text: _TAX_ID.fullmatch(text) is not None,
    code="not_tax_id",
    demand="This is not a tax id: letters A to Z and digits.",
    examples=["DE136695976"],
)
"""Without the spaces, dots, hyphens and slashes that people put in it. Whether it is registered is not checked."""

_GROUP: Final = re.compile(r"[!-~]*")


def _group(text: str) -> str:
    check_unicode(text)
    return stripped(text)


CUSTOMER_GROUP: Final = Text(
    "A customer group",
    most=WORD_MAX_CHARS,
    spelling=_group,
    fits=lambda text: _GROUP.fullmatch(text) is not None,
    code="not_group",
    demand="This is not a customer group: visible ASCII characters without spaces.",
    examples=["wholesale"],
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
    demand="This contains characters that cannot be printed.",
)
"""Whom a token represents; taken literally, white space included."""

# Ordering a letter's combining marks takes quadratic time, and no letter needs more than four characters, so a text too
# long for any password is rejected unread.
_SPELLING_MAX_CHARS: Final = 4 * PASSWORD_MAX_CHARS


def normal_password(text: str) -> str | None:
    """The password in NFKC (RFC 8265, NIST SP 800-63B), since keyboards write the same letter in several ways. None if
    it is too short or too long for a password. For checking a password; PASSWORD is for a new one."""
    if len(text) > _SPELLING_MAX_CHARS:
        return None
    password = unicodedata.normalize("NFKC", text)
    return password if PASSWORD_MIN_CHARS <= len(password) <= PASSWORD_MAX_CHARS else None


class _Password:
    """A new password. Its spaces count; control characters are rejected, since no form or prompt can enter them."""

    # Lengths are those of the normalized password, which may be shorter or longer than what was typed.
    schema: Final = {
        "type": "string",
        "format": "password",
        "minLength": PASSWORD_MIN_CHARS,
        "maxLength": PASSWORD_MAX_CHARS,
        "examples": ["correct horse battery staple"],
    }

    def parse(self, given: object) -> str:
        """The normalized password. Raises BadValue."""
        if not isinstance(given, str):
            raise BadValue(*NOT_TEXT)
        check_unicode(given)
        password = normal_password(given)
        if password is None or "\n" in password or "\r" in password:
            bounds = f"{PASSWORD_MIN_CHARS} to {PASSWORD_MAX_CHARS}"
            raise BadValue("password_length", f"A password must have {bounds} characters, on one line.")
        return password


PASSWORD: Final = _Password()
