"""Small files made after those of real shops and after real reports, under `tests/data/cases`."""

from pathlib import Path
from typing import Final

CASES: Final = Path(__file__).parent / "data" / "cases"


def case(name: str) -> bytes:
    """The bytes of a file."""
    return (CASES / name).read_bytes()
