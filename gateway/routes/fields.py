"""Fields of request bodies about people: each checks itself, and comes out in its one spelling."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from domain.accounts import canonical_email
from domain.limits import ACCOUNT_NAME_MAX_CHARS, EMAIL_MAX_CHARS, PASSWORD_MAX_CHARS, PASSWORD_MIN_CHARS
from domain.model import Personal
from domain.passwords import normal_password

_PRINTABLE: Final = "This has characters that cannot be shown."


def _email(text: str) -> str:
    email = canonical_email(text)
    if email is None:
        raise ValueError("This is no e-mail address.")
    return email


def _password(text: str) -> str:
    password = normal_password(text)
    if password is None:
        raise ValueError(f"A password has {PASSWORD_MIN_CHARS} to {PASSWORD_MAX_CHARS} characters.")
    return password


def printable(text: str) -> str:
    """The text without spaces around it. Raises ValueError if it is empty then, or does more than show."""
    shown = text.strip()
    if not shown or not shown.isprintable():
        raise ValueError(_PRINTABLE)
    return shown


def personal(text: str | None) -> Personal | None:
    """What is said about a person, as it travels in commands."""
    return None if text is None else Personal(text)


EmailAddress = Annotated[str, Field(max_length=EMAIL_MAX_CHARS, examples=["ada@example.com"]), AfterValidator(_email)]

AccountName = Annotated[
    str, Field(min_length=1, max_length=ACCOUNT_NAME_MAX_CHARS, examples=["Ada Lovelace"]), AfterValidator(printable)
]

# Its length is counted in its one spelling, which is shorter or longer than what was typed; so no bounds stand here.
NewPassword = Annotated[
    str,
    AfterValidator(_password),
    Field(
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password", "minLength": PASSWORD_MIN_CHARS, "maxLength": PASSWORD_MAX_CHARS},
    ),
]

Role = Literal["customer", "staff", "admin"]
