"""A resolver that knows this machine and addresses, and no other names."""

import ipaddress
import socket
from typing import Any

NOT_LOOKED_UP = "no test looks up names outside"
_look_up = socket.getaddrinfo


def _is_here(host: object) -> bool:
    if host is None or host in ("localhost", b"localhost", ""):
        return True
    text = host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
    """Raises what the system's own raises for a name that does not exist."""
    if not _is_here(host):
        raise socket.gaierror(socket.EAI_NONAME, NOT_LOOKED_UP)
    return _look_up(host, *rest, **more)


socket.getaddrinfo = getaddrinfo
