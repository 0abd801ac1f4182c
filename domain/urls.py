"""URLs that requests are sent to on behalf of others: only what every reader of URLs understands alike.

No userinfo, no fragment, no white space, no backslash, no address in an unusual spelling: nothing that one reader takes
for the host and another for something else.
"""

import re
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from domain.limits import WEBHOOK_URL_MAX_CHARS

_URL: Final = re.compile(
    r"https?://(?:(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?)|\[(?P<address>[0-9A-Fa-f:.]{2,45})\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:[/?][A-Za-z0-9/?%!$&'()*+,;=:@._~-]*)?"
)
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


def host_of(url: str) -> str | None:
    """The host of a URL that events could be delivered to: absolute, http or https, and plain; None for any other.
    Whether that host may be reached is seen when it is connected to."""
    found = _URL.fullmatch(url) if len(url) <= WEBHOOK_URL_MAX_CHARS else None
    if found is None or (found["port"] is not None and not 1 <= int(found["port"]) <= 65_535):
        return None
    name, address = found["name"], found["address"]
    try:
        if address is not None:
            IPv6Address(address)
        elif _NUMBER.fullmatch(name.rpartition(".")[2]):
            IPv4Address(name)  # every other spelling that ends in a number is one to deceive with
    except ValueError:
        return None
    return None if address is None and ".." in name else address or name
