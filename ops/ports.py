"""Free TCP ports of this machine, on 127.0.0.1 unless another host is given."""

import random
import socket
from collections import deque
from typing import Final

# Below the kernel's ephemeral ports for outgoing connections (32768 and up on Linux, 49152 on macOS). A port from that
# range may be taken when a server restarts on it; and a client that keeps connecting to the missing server could be
# assigned the very port it calls, and so connect to itself.
LOWEST: Final = 20_000
HIGHEST: Final = 32_000
_TRIES_MAX: Final = 100


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now; lingering connections of an earlier one do not count."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


_drawn_from = range(LOWEST, HIGHEST)
_drawn: deque[int] = deque()


def draw_from(ports: range) -> None:
    """Makes this process draw only from these ports, so that processes with disjoint ranges never draw the same."""
    global _drawn_from
    _drawn_from = ports


def free_port() -> int:
    """A free port, drawn at random so that programs starting at the same time rarely draw the same. One that this
    process has drawn lately is not drawn again, because its server may not listen yet."""
    for _ in range(_TRIES_MAX):
        port = random.choice(_drawn_from)  # noqa: S311 - not a secret
        if port not in _drawn and is_free(port):
            _drawn.append(port)
            while len(_drawn) > len(_drawn_from) // 2:
                _drawn.popleft()
            return port
    raise OSError(f"no free TCP port found between {_drawn_from.start} and {_drawn_from.stop}")
