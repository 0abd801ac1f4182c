"""Entity tags (RFC 9110): versions as strong ones, ready bytes as weak ones, and the conditions that requests make.

`If-Match` guards a change: it becomes the version that the command insists on, and the mailbox decides. Without it the
last writer wins. `If-None-Match` spares an answer that the client has: 304.
"""

import hashlib
import re
from typing import Final

from fastapi import Request, Response

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ANY: Final = "*"
_NO_VERSION: Final = 0
"""Versions count from 1, so this one is nobody's."""
_VERSION_MAX_DIGITS: Final = 9
_DIGEST_BYTES: Final = 12


def version_tag(version: int) -> str:
    """The strong tag of a version."""
    return f'"{version}"'


def body_tag(body: bytes) -> str:
    """A weak tag of an answer: the same things are said, however they are encoded."""
    return f'W/"{hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()}"'


def expected_version(request: Request) -> int | None:
    """The version that If-Match insists on; None if it is left out or `*`. What cannot be a version of ours is one that
    nothing has, so that the command is refused; of several the newest counts."""
    given = ", ".join(request.headers.getlist("if-match")).strip()
    if given in ("", _ANY):
        return None
    versions = [
        int(tag)
        for weak, tag in _TAG.findall(given)
        if not weak and tag.isdecimal() and tag.isascii() and len(tag) <= _VERSION_MAX_DIGITS
    ]
    return max(versions, default=_NO_VERSION)


def is_known(if_none_match: str, tag: str) -> bool:
    """Whether the client has what `tag` stands for. Compared weakly, as the RFC says of If-None-Match."""
    opaque = tag.removeprefix("W/")
    return if_none_match.strip() == _ANY or any(f'"{known}"' == opaque for _, known in _TAG.findall(if_none_match))


def conditional(request: Request, body: bytes, tag: str, *, private: bool = False) -> Response:
    """The JSON body with its tag; 304 for a client that has it. It may be kept, but not shown without asking;
    not by caches, if it is `private`."""
    headers = {"ETag": tag, "Cache-Control": "no-store" if private else "no-cache"}
    if is_known(", ".join(request.headers.getlist("if-none-match")), tag):
        return Response(None, 304, headers)
    return Response(body, 200, headers, "application/json")
