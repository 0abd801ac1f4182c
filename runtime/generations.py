"""Lua functions for hashes in Redis that are bounded in age and bytes and forget the oldest fields first; scripts begin
with them (see `generations.lua`)."""

from pathlib import Path
from typing import Final

GENERATIONS: Final = Path(__file__).with_suffix(".lua").read_text()
