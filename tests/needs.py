"""Programs that some tests need and not every machine has: without one, a test is skipped and says so. If
TIDEGATE_TESTS_REQUIRE names it (a comma-separated list, which `.ci/run` sets), the test fails instead."""

import os
import shutil
from typing import Final, NoReturn

import pytest

REQUIRED_BY: Final = "TIDEGATE_TESTS_REQUIRE"


def program(what: str, *names: str) -> str:
    """The path of the first of these programs that exists; `what` is the word for it."""
    path = next(filter(None, map(shutil.which, names)), None)
    return path or missing(what, f"no {what} on this machine: none of {', '.join(names)} was found")


def missing(what: str, said: str) -> NoReturn:
    """Skips the test, or fails it where it is required."""
    if what in os.environ.get(REQUIRED_BY, "").split(","):
        pytest.fail(said)
    pytest.skip(said)
