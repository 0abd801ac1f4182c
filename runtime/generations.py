"""What Redis remembers for a time and in so many bytes, the oldest being forgotten first: Lua functions that scripts
begin with (see `generations.lua`)."""

from pathlib import Path
from typing import Final

GENERATIONS: Final = Path(__file__).with_suffix(".lua").read_text()
