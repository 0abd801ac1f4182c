"""Entity tags (RFC 9110): strong ones for versions, weak ones for response bodies, and the conditions of requests.

`If-Match` guards a change: it becomes the version that the command requires, and the mailbox decides. Without it, the
last writer wins. `If-None-Match` saves sending a response that the client already has: 304.
"""

import hashlib
import re
from typing import Final

from fastapi import Request, Response

_TAG: Final = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
_ANY: Final = "*"
_NO_VERSION: Final = 0
"""A version that never exists, since versions count from 1."""
_VERSION_MAX_DIGITS: Final = 9
_DIGEST_BYTES: Final = 12


def version_tag(version: int) -> str:
    """The strong tag of a version."""
    return f'"{version}"'


def body_tag(body: bytes) -> str:
    """A weak tag for a response body: it stays the same whatever the body's encoding."""
    return f'W/"{hashlib.blake2b(body, digest_size=_DIGEST_BYTES).hexdigest()}"'


def expected_version(request: Request) -> int | None:
    """The version that If-Match requires; None if it is missing or `*`. A tag that cannot be one of ours becomes a
    version that never exists, so that the command is rejected; of several, the newest counts."""
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
    """Whether the client already has the version with `tag`. The comparison is weak, as the RFC requires for
    If-None-Match."""
    opaque = tag.removeprefix("W/")
    return if_none_match.strip() == _ANY or any(f'"{known}"' == opaque for _, known in _TAG.findall(if_none_match))


def conditional(request: Request, body: bytes, tag: str, *, private: bool = False) -> Response:
    """The JSON body with its tag, or 304 if the client has it. Caches may store it, but must revalidate it; if it is
    `private`, they must not store it."""
    headers = {"ETag": tag, "Cache-Control": "no-store" if private else "no-cache"}
    if is_known(", ".join(request.headers.getlist("if-none-match")), tag):
        return Response(None, 304, headers)
    return Response(body, 200, headers, "application/json")
