"""Which IP addresses are public, as opposed to those of the local machine or network.

An address with another embedded in it (IPv4-mapped, 6to4, NAT64, Teredo) is as public as that one, since packets go
there. The check is made on the address, at the moment of connecting: a name may resolve differently each time.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

# RFC 6052, and the block of RFC 8215 for local translators, which is never public.
_NAT64: Final = IPv6Network("64:ff9b::/96")
_NAT64_LOCAL: Final = IPv6Network("64:ff9b:1::/48")
# All allocated global unicast IPv6, and its exceptions by IANA's special-purpose registries, which are newer than
# Python's: documentation, benchmarking, AS112, AMT, and protocol assignments.
_GIVEN_OUT: Final = IPv6Network("2000::/3")
_SPECIAL: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",
        "2001::/23",
        "2001:db8::/32",
        "2620:4f:8000::/48",
        "3fff::/20",
    )
)
# The IPv4-compatible addresses of RFC 4291, now deprecated; and the interface identifier of ISATAP (RFC 5214).
_IPV4_COMPATIBLE: Final = IPv6Network("::/96")
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_LOW_32_BITS: Final = 0xFFFF_FFFF
# RFC 6761, RFC 6762, and what ICANN has reserved for private networks. The prefix that one IPv6 client has to itself.
_CLIENT_BITS: Final = 64
_OWN_NAMES: Final = ("localhost", "localdomain", "local", "internal")


def network_of(host: str | None) -> str:
    """The unit in which clients are counted: an IPv4 address, but a whole IPv6 network, since a client can use any
    number of addresses in its own."""
    try:
        address = ip_address(host or "")
    except ValueError:
        return host or "unknown"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return f"{IPv6Address(int(address) >> _CLIENT_BITS << _CLIENT_BITS)}/{_CLIENT_BITS}"
    return str(address)


def is_public(text: str) -> bool:
    """Whether this is a public IP address. A scope (`%eth0`) makes it local."""
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return _is_public(address)


def is_ones_own(host: str) -> bool:
    """Whether a host is known not to be public without resolving its name."""
    try:
        return not _is_public(ip_address(host))
    except ValueError:
        return host.lower().rstrip(".").rpartition(".")[2] in _OWN_NAMES


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None or address in _NAT64_LOCAL or address.is_site_local:
            return False
        carried = _carried(address)
        if carried:
            return all(_is_public(each) for each in carried)
        if address not in _GIVEN_OUT:
            return False
    return address.is_global and not any(address in block for block in _SPECIAL if block.version == address.version)


def _carried(address: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses embedded in an IPv6 address, to which packets may go."""
    number = int(address)
    last = IPv4Address(number & _LOW_32_BITS)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address in _NAT64 or address in _IPV4_COMPATIBLE or (number >> 32) & _LOW_32_BITS in _ISATAP:
        return [last]
    if address.sixtofour is not None:
        return [address.sixtofour]
    return list(address.teredo or ())
