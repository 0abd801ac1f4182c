"""A resolver that knows this machine's names and addresses, and no others; and cheap hashes of passwords."""

import ipaddress
import socket
import sys
from importlib.abc import MetaPathFinder
from typing import Any

NOT_LOOKED_UP = "no test looks up outside names"
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
    """Raises what the system's resolver raises for a name that does not exist."""
    if not _is_here(host):
        raise socket.gaierror(socket.EAI_NONAME, NOT_LOOKED_UP)
    return _look_up(host, *rest, **more)


class _CheapHashes(MetaPathFinder):
    """Lowers the cost of Argon2 before `pwdlib` reads it: hundreds of hashes took as long as everything else."""

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname == "pwdlib.hashers.argon2":
            import argon2

            argon2.DEFAULT_TIME_COST, argon2.DEFAULT_MEMORY_COST, argon2.DEFAULT_PARALLELISM = 1, 8, 1


socket.getaddrinfo = getaddrinfo
if __name__ == "sitecustomize":  # not in pytest's own process, where unit tests look at what a hash costs
    sys.meta_path.insert(0, _CheapHashes())
