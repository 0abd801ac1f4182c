"""TCP ports of this machine: which are free, and one to use. Only 127.0.0.1 is meant unless a host is given."""

import random
import socket
from typing import Final

# Below the range from which the kernel takes the ports of outgoing connections (32768 and up on Linux, 49152 on macOS).
# A port of that range can be gone when a server restarts on it; and a client that keeps on trying to reach the server
# that is away could be given the very port it calls, and be connected with itself.
LOWEST: Final = 20_000
HIGHEST: Final = 32_000
_TRIES_MAX: Final = 100


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now. Connections of an earlier one that linger do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


_drawn_from = range(LOWEST, HIGHEST)


def draw_from(ports: range) -> None:
    """Has this process draw from these ports alone. Those who share them out never draw the same."""
    global _drawn_from
    _drawn_from = ports


def free_port() -> int:
    """A port nobody listens on, drawn at random so that programs that start side by side rarely draw the same."""
    for _ in range(_TRIES_MAX):
        port = random.choice(_drawn_from)  # noqa: S311 - not a secret
        if is_free(port):
            return port
    raise OSError(f"no free TCP port found between {_drawn_from.start} and {_drawn_from.stop}")
