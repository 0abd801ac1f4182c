"""Fixtures of the tests that run our code in this process against real servers."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.shopfloor import Shopfloor
from workers import apply


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Shopfloor]:
    """A shop floor of the test's own, with four mailboxes."""
    async with Shopfloor(database_url, redis_url) as shopfloor:
        yield shopfloor


@pytest.fixture
def nothing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has small batches hold what they need, as large ones do."""
    monkeypatch.setattr(apply, "AT_ONCE_MAX_COMMANDS", 0)


@pytest.fixture(params=["at once", "holding"])
def both_ways(request: pytest.FixtureRequest) -> None:
    """Runs a test twice: small batches are first tried at once, and they are not."""
    if request.param == "holding":
        request.getfixturevalue("nothing_at_once")
