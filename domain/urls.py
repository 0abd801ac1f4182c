"""URLs that requests are sent to on behalf of others: only what every reader of URLs understands alike.

No userinfo, no fragment, no white space, no backslash, no address in an unusual spelling: nothing that one reader takes
for the host and another for something else.
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

# A name whose last part is a number, in whatever spelling, is one to deceive with: some readers take it for an address.
_NUMBER_AT_END: Final = r"(?:[A-Za-z0-9._-]*\.)?(?:[0-9]+|0[xX][0-9A-Fa-f]*)(?:[:/?]|$)"
_NAME: Final = rf"(?!{_NUMBER_AT_END})[A-Za-z0-9](?:(?:[A-Za-z0-9_-]|\.(?!\.)){{0,251}}[A-Za-z0-9])?"
_PORT: Final = (
    "(?=[0-9]{1,5}(?:[/?]|$))0*(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
)

URL_PATTERN: Final = (
    rf"^https?://(?:({_IPV4}(?=[:/?]|$)|{_NAME})|\[({_IPV6})\])(?::{_PORT})?(?:[/?][A-Za-z0-9/?%!$&'()*+,;=:@._~-]*)?$"
)
"""The URLs that events could be delivered to, as every dialect of regular expressions reads it; the host is in the
first group, or as an IPv6 address in the second."""

_URL: Final = re.compile(URL_PATTERN)


def host_of(url: str) -> str | None:
    """The host of a URL that events could be delivered to: absolute, http or https, and plain; None for any other.
    Whether that host may be reached is seen when it is connected to."""
    found = _URL.fullmatch(url) if len(url) <= WEBHOOK_URL_MAX_CHARS else None
    return None if found is None else found[1] or found[2]
