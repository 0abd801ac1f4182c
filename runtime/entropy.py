"""Random bits for ids, from the operating system, many at a time: a system call for each id cost a sixth of accepting.

A process that is forked begins with none of its parent's, so no two processes give out the same.
"""

import os
from typing import Final

_REFILL_BYTES: Final = 8_192
_WORD_BYTES: Final = 8

_stock = memoryview(b"")


def random_bits() -> int:
    """64 random bits, fit for secrets, as a whole number."""
    global _stock
    if not _stock:
        _stock = memoryview(os.urandom(_REFILL_BYTES))
    word, _stock = _stock[:_WORD_BYTES], _stock[_WORD_BYTES:]
    return int.from_bytes(word)


def _forget() -> None:
    global _stock
    _stock = memoryview(b"")


os.register_at_fork(after_in_child=_forget)
