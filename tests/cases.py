"""Small files modelled on those of real shops and on real bug reports, in `tests/data/cases`."""

from pathlib import Path
from typing import Final

CASES: Final = Path(__file__).parent / "data" / "cases"


def case(name: str) -> bytes:
    """The file's bytes."""
    return (CASES / name).read_bytes()
