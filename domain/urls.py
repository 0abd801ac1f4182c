"""URLs that we send requests to on behalf of others: only those that every URL parser understands in the same way.

Userinfo, fragments, white space, backslashes and unusual forms of addresses are rejected, because parsers disagree
about the host in such URLs.
"""

import re
from typing import Final

from domain.limits import WEBHOOK_URL_MAX_CHARS

_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_PIECE: Final = "[0-9A-Fa-f]{1,4}"
_LAST: Final = f"(?:{_PIECE}:{_PIECE}|{_IPV4})"
_IPV6: Final = "|".join(
    (
        f"(?:{_PIECE}:){{6}}{_LAST}",
        *(
            f"(?:{_PIECE}(?::{_PIECE}){{0,{before - 1}}})?::(?:{_PIECE}:){{{5 - before}}}{_LAST}"
            if before
            else f"::(?:{_PIECE}:){{5}}{_LAST}"
            for before in range(6)
        ),
        f"(?:{_PIECE}(?::{_PIECE}){{0,5}})?::{_PIECE}",
        f"(?:{_PIECE}(?::{_PIECE}){{0,6}})?::",
    )
)
"""RFC 3986, 3.2.2."""

# A name whose last label is a number, however written, is rejected: some parsers take it for an address.
_NUMBER_AT_END: Final = r"(?:[A-Za-z0-9._-]*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)(?:[:/?]|$)"
_NAME: Final = rf"(?!{_NUMBER_AT_END})[A-Za-z0-9](?:(?:[A-Za-z0-9_-]|\.(?!\.)){{0,251}}[A-Za-z0-9])?"
_PORT: Final = (
    "(?=[0-9]{1,5}(?:[/?]|$))0*(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
)

URL_PATTERN: Final = (
    rf"^https?://(?:({_IPV4}(?=[:/?]|$)|{_NAME})|\[({_IPV6})\])(?::{_PORT})?(?:[/?][A-Za-z0-9/?%!$&'()*+,;=:@._~-]*)?$"
)
"""Matches the URLs that events could be delivered to, in every dialect of regular expressions; the host is in the first
group, or, if it is an IPv6 address, in the second."""

_URL: Final = re.compile(URL_PATTERN)


def host_of(url: str) -> str | None:
    """The host of a URL that events could be delivered to (absolute, http or https, plain); None for any other. Whether
    the host may be reached is checked when connecting."""
    found = _URL.fullmatch(url) if len(url) <= WEBHOOK_URL_MAX_CHARS else None
    return None if found is None else found[1] or found[2]
