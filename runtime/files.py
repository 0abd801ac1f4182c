"""The limit on open files and connections of a process: as many as the system allows, up to a bound."""

import resource
from typing import Final

OPEN_FILES_MAX: Final = 65_536
"""Enough for every bound on connections that one process has."""


def allow_many() -> int:
    """Raises this process's limit, which often starts at 1,024, as far as allowed; returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted
