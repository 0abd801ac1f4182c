"""How many files and connections a process may have open: as many as its machine lets it, up to a bound."""

import resource
from typing import Final

OPEN_FILES_MAX: Final = 65_536
"""Enough for every bound on connections that one process has."""


def allow_many() -> int:
    """Raises this process's limit, which is often 1,024 at first, as far as it may; returns what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
