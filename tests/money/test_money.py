"""Checkouts at a hostile provider come out to the penny."""

from itertools import islice
from typing import Final

import pytest

from tests.money.plan import KILLED_IN_TURN, kills, purchases
from tests.money.run import run

_CHECKOUTS: Final = 2_000


def test_a_seed_says_what_people_do_and_what_is_killed() -> None:
    assert [*purchases(7, 300)][:100] == [*islice(purchases(7, 200), 100)] != [*purchases(8, 100)]
    assert kills(7, 600, 12) == kills(7, 600, 12) != kills(8, 600, 12)


def test_each_process_and_server_is_killed_in_turn() -> None:
    deaths = kills(7, 600, 12)
    assert sorted(kill.target for kill in deaths) == sorted(KILLED_IN_TURN * 2)
    assert [kill.after for kill in deaths] == list(range(25, 600, 50))


@pytest.mark.campaign
@pytest.mark.timeout(900)
async def test_checkouts_at_a_hostile_provider_come_out_to_the_penny() -> None:
    findings = await run(1, _CHECKOUTS)
    assert not findings.found
    counts = findings.counts
    assert counts["checkouts"] > 0.9 * _CHECKOUTS
    for what in (
        "orders confirmed",
        "orders cancelled",
        "orders expired",
        "acts of staff done",
        "acts of staff refused",
    ):
        assert counts[what] > 0, what
    for money in ("charged", "refunded", "cancelled", "paid by cards"):
        assert counts[f"{money}, in minor units"] > 0, money
    assert all(counts[f"kills of {target}"] for target in KILLED_IN_TURN)
