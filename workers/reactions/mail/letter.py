"""Mails as they are sent, in ASCII: headers, and a body in two versions, each in quoted-printable.

The standard library's `EmailMessage` parses every header that it is given, and folds it again when the mail is sent:
nine tenths of the work of writing a mail. The library still encodes names and titles that are not ASCII.
"""

from __future__ import annotations

from binascii import b2a_qp
from collections.abc import Mapping
from email.header import Header
from email.headerregistry import Address
from typing import Final, NamedTuple

_LINE_MAX_CHARS: Final = 76
_WORD_MAX_CHARS: Final = 75  # of an encoded word (RFC 2047)
_ENCODED: Final = "=?"
"""How encoded words begin. A name that contains it by itself is encoded too, so that nobody decodes it."""

_BOUNDARY: Final = "=_tidegate"
"""In quoted-printable, `_` never follows `=`, so it is in no body."""


class Letter(NamedTuple):
    """A mail: `content` is its headers and body, with CRLF at the end of each line."""

    sender: Address
    recipient: Address
    content: bytes


def letter(sender: Address, recipient: Address, headers: Mapping[str, str], plain: str, html: str) -> Letter:
    """The mail with these headers, whose values are in ASCII: `mailbox` and `words` write what may not be. Raises
    ValueError if one is not, or has control characters."""
    lines = [_header(name, value) for name, value in headers.items()]
    lines += ["MIME-Version: 1.0", f'Content-Type: multipart/alternative; boundary="{_BOUNDARY}"', ""]
    for kind, text in (("plain", plain), ("html", html)):
        lines += [
            f"--{_BOUNDARY}",
            f'Content-Type: text/{kind}; charset="utf-8"',
            "Content-Transfer-Encoding: quoted-printable",
            "",
            _quoted_printable(text),
        ]
    lines += [f"--{_BOUNDARY}--", ""]
    return Letter(sender, recipient, "\r\n".join(lines).encode("ascii"))


def mailbox(address: Address) -> str:
    """A header's value: the address, after its display name if it has one."""
    name = address.display_name
    return str(address) if _is_plain(name) else f"{words(name)} <{address.addr_spec}>"


def words(text: str) -> str:
    """A header's value: the text, in encoded words unless it is plain."""
    if _is_plain(text):
        return text
    return " ".join(Header(text, "utf-8", maxlinelen=_WORD_MAX_CHARS).encode().split())


def _is_plain(text: str) -> bool:
    return text.isascii() and _ENCODED not in text


def _header(name: str, value: str) -> str:
    """The header, on several lines if it is long and has spaces."""
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"the header {name} would not be printable ASCII")
    line, *rest = value.split(" ")
    lines = [f"{name}: {line}"]
    for word in rest:
        if len(lines[-1]) + 1 + len(word) > _LINE_MAX_CHARS:
            lines.append("")
        lines[-1] += f" {word}"
    return "\r\n".join(lines)


def _quoted_printable(text: str) -> str:
    # The library looks for the first line's end to know what to write at the others.
    return b2a_qp(b"".join(line + b"\r\n" for line in text.encode().splitlines())).decode("ascii")
