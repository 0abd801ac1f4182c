"""The auditor finds each bug that is planted into the processes."""

from typing import Final

import pytest

from tests.money.run import run

_CHECKOUTS: Final = 120


@pytest.mark.campaign
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("bug", "finds"),
    [
        ("key_dropped", " at the provider, "),
        ("created_anew", "at the provider is not ours"),
        ("outcome_twice", " here"),
        ("lost_is_declined", " at the provider, 0 here"),
        ("not_let_go", "payments that are pending"),
        ("cards_keep", "was not let go"),
    ],
)
async def test_it_finds(bug: str, finds: str) -> None:
    found = (await run(1, _CHECKOUTS, kill_count=0, bug=bug)).found
    assert any(finds in each for each in found), found
