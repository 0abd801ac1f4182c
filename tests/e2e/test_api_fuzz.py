"""A short pass of Schemathesis over the whole OpenAPI document, from a fixed seed; `make fuzz` is the long one."""

from collections.abc import Iterator

import pytest

from tests.fuzz.fuzzer import ROLES, SETTINGS, Pass, furnish, fuzz, left_behind
from tests.system import System

pytestmark = pytest.mark.campaign

# Examples and coverage go through every operation and every bound of its schema, in their own order.
SHORT = Pass(seed=1, cases=3, seconds=7, phases="examples,coverage,fuzzing")


@pytest.fixture(scope="module")
def furnished() -> Iterator[System]:
    with System(SETTINGS) as system:
        furnish(system)
        yield system


@pytest.mark.parametrize("role", ROLES)
def test_every_answer_is_as_documented(furnished: System, role: str) -> None:
    clean, report = fuzz(furnished, role, SHORT)
    assert clean, report
    assert left_behind(furnished) == []
