"""Settings as each test finds them: of the environment when it first asks. They are read again only if something has
changed the environment; reading them takes longer than most tests.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from runtime.settings import settings

_CHANGES: Final = ("os.putenv", "os.unsetenv")

# pytest notes there which test runs.
_NOT_OURS: Final = b"PYTEST_"


class _Read:
    """Bookkeeping about the cached settings."""

    asked = settings.cache_info()
    is_outdated = True


def _hear(event: str, arguments: tuple[object, ...], changes: Sequence[str] = _CHANGES) -> None:
    """An audit hook, which Python calls on every change of the environment, and even while the interpreter shuts down:
    then this module's names are gone."""
    if event not in changes or (isinstance(name := arguments[0], bytes) and name.startswith(_NOT_OURS)):
        return
    if settings.cache_info() == _Read.asked:
        settings.cache_clear()  # nobody has asked in this test
        _Read.asked = settings.cache_info()
    _Read.is_outdated = True


sys.addaudithook(_hear)


@contextmanager
def settings_read_anew() -> Iterator[None]:
    """Around a test. What the environment is when settings are first asked for decides what they are to its end, as in
    a process."""
    _begin()
    yield
    _begin()


def _begin() -> None:
    if _Read.is_outdated:
        settings.cache_clear()
        _Read.is_outdated = False
    _Read.asked = settings.cache_info()
