"""What no log line may contain: the tests' secrets and people, by the shapes that they all have."""

import re
from pathlib import Path
from typing import Final

_SHAPES: Final = {
    "a token": rb"eyJ[A-Za-z0-9_-]{16,}\.",
    "an API key": rb"tgk_[0-9a-f]{32}_[A-Za-z0-9_-]{8}",
    "a webhook's secret": rb"whsec_[A-Za-z0-9+/]{8}",
    "a hash of a password": rb"\$argon2",
    # Except the shop's own.
    "an address": rb"(?<![A-Za-z0-9._%+-])(?!orders@tidegate\.example)"
    rb"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.(?:com|org|net|example|test)\b",
    "a password": rb"the password of |planted-password",
}


def leaks(log: Path) -> list[str]:
    """The leaks in a log: the kind of each, and the line."""
    text = log.read_bytes() if log.exists() else b""
    return [
        f"{kind} in {log.name}: {_line(text, found.start())}"
        for kind, shape in _SHAPES.items()
        if (found := re.search(shape, text))
    ]


def _line(text: bytes, at: int) -> str:
    return text[text.rfind(b"\n", 0, at) + 1 :].partition(b"\n")[0].decode(errors="replace")
