"""Fixtures of the tests that run our code in this process against real servers."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.shopfloor import Shopfloor


@pytest.fixture
async def floor(database_url: str, redis_url: str) -> AsyncIterator[Shopfloor]:
    """A shop floor of the test's own, with four mailboxes."""
    async with Shopfloor(database_url, redis_url) as shopfloor:
        yield shopfloor
